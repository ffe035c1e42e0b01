"""Writes a static site that scores images in the browser: `python -m export.web RUN --output site`.

The site holds the exported model and onnxruntime-web. Images stay on the machine of whoever opens
the page. Any file server will do, for example `python -m http.server -d site`.
"""

import argparse
import sys
from pathlib import Path

from export.web.runtime_files import PACKAGE, VERSION
from ganad_tf.console import log_to_console
from ganad_tf.errors import run_cli


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m export.web",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
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
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    flags = parse(arguments)
    # Imported late: --help should not wait for ONNX Runtime.
    from export.web.site import write_site

    log_to_console()
    write_site(flags.source, flags.output, flags.runtime)
    print(f"written to {flags.output}; to try it here: python -m http.server -d {flags.output}")


if __name__ == "__main__":
    sys.exit(run_cli(main))
