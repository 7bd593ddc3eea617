"""The short form of `make chaos`, for every run of the tests."""

from __future__ import annotations

import os
import subprocess
import sys

SEED = os.environ.get("CHAOS_SEED", "11")


def test_states_equal_an_independent_pass_whatever_breaks_on_the_way() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--seed", SEED]
    done = subprocess.run(
        [*command, "--events", "15000", "--seconds", "60", "--rate", "400"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
