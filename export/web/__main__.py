"""Writes a site that scores in the browser: `python -m export.web RUN --output site`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ganad_tf.console import log_to_console
from ganad_tf.errors import CommandParser, run_cli

from .runtime_files import PACKAGE, VERSION

DESCRIPTION = "Writes a static site in which anyone can try an exported model in the browser."
EPILOG = f"""\
The site holds the page, the model and {PACKAGE} {VERSION}, about 15 MB and the size of the model.
Any file server will do; images are scored in the browser and are not sent anywhere.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "source", metavar="RUN", type=Path, help="an exported run, or an exported ONNX file"
    )
    parser.add_argument("--output", type=Path, required=True, help="a new folder for the site")
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="DIR",
        help=f"take {PACKAGE} {VERSION} from this folder or .tgz file (default: got once through "
        "npm, then from the cache)",
    )


def main(arguments: Sequence[str] | None = None, prog: str = "python -m export.web") -> None:
    """The command."""
    parser = CommandParser(prog)
    configure(parser)
    flags = parser.parse_args(arguments)
    # Imported late: --help should not wait for ONNX Runtime.
    from .site import write_site

    log_to_console()
    write_site(flags.source, flags.output, flags.runtime)
    print(f"written to {flags.output}; to try it here: python -m http.server -d {flags.output}")


if __name__ == "__main__":
    sys.exit(run_cli(main))
