"""The `runfold` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what to install where its parts are missing."""
    try:
        from runfold.deploy.cli.app import run
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"runfold: the command line needs {error.name}, which the light client leaves out.\n"
            "Install it with: pip install 'runfold[local]'\n"
        )
        raise SystemExit(2) from error
    run()
