"""`python -m tests.planted_worker --plant NAME worker …`: the real worker, with a bug in it.

What stands behind the plant is the command line of `runfold`.
"""

from __future__ import annotations

import argparse
import sys

import pytest

from runfold.deploy.cli.app import run
from runfold.processors import partitions, worker
from tests.plants import PLANTS

_LOADED = (partitions, worker)  # a plant goes into the modules that are loaded


def main() -> None:
    """Plant the bug, then be `runfold`."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted_worker", description=__doc__)
    parser.add_argument("--plant", choices=PLANTS, required=True)
    parser.add_argument("--rate", type=int, default=10_000, help="one event, or file, in so many")
    given, command = parser.parse_known_args()
    with pytest.MonkeyPatch.context() as patch:
        PLANTS[given.plant](patch, given.rate)
        sys.argv = ["runfold", *command]
        run()


if __name__ == "__main__":
    main()
