"""`python -m tests.tidy_worker worker …`: the real worker, which compacts all the time."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from runfold.deploy.cli.app import run
from runfold.processors import worker

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "UPKEEP_INTERVAL", timedelta(seconds=0.1))
        sys.argv[0] = "runfold"
        run()
