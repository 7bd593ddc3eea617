"""Programs that tests start are gone with them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.ending_with_us import ending_with_us

_TEST = """
import subprocess, sys, time
from tests.ending_with_us import ending_with_us
command = [sys.executable, "-c", "print('begun', flush=True); import time; time.sleep(600)"]
with subprocess.Popen(ending_with_us(command), stdout=subprocess.PIPE) as server:
    server.stdout.readline()
    print(server.pid, flush=True)
    time.sleep(600)
"""
_PATIENCE_SECONDS = 60.0


def test_a_program_ends_with_a_test_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _TEST], stdout=subprocess.PIPE) as test:
        assert test.stdout is not None
        server = Path(f"/proc/{int(test.stdout.readline())}")
        assert b"sleep" in (server / "cmdline").read_bytes()
        test.kill()
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while server.exists() and b"sleep" in (server / "cmdline").read_bytes():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_a_program_has_its_own_arguments_and_exit_code() -> None:
    program = "import sys; print(sys.argv[1:]); sys.exit(3)"
    command = ending_with_us([sys.executable, "-c", program, "-x", "a b"])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "['-x', 'a b']\n")
