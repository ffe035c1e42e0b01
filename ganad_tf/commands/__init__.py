"""The command `ganad` and those of its subcommands that are not part of `export`."""
