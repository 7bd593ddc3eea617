"""Other processes of the collector: what they return, and when they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runfold.producers.collector.other_processes import OtherProcesses
from runfold.schemas.errors import CollectorBusy

_PATIENCE_SECONDS = 60.0
_HOLDER = """
import asyncio, os
from runfold.producers.collector.other_processes import OtherProcesses

async def main():
    async with OtherProcesses() as others:
        print(await others.run(os.getpid), flush=True)
        await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> None:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while is_running(pid):
        assert time.monotonic() < give_up_at, f"process {pid} goes on"
        time.sleep(0.02)


async def test_functions_run_elsewhere_and_their_errors_come_back() -> None:
    async with OtherProcesses() as others:
        pid = await others.run(os.getpid)
        assert pid != os.getpid()
        assert await others.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ValueError, match="invalid literal"):
            await others.run(int, "seven")
    wait_until_gone(pid)


async def test_one_that_dies_asks_to_come_back_and_is_replaced() -> None:
    async with OtherProcesses() as others:
        first = await others.run(os.getpid)
        with pytest.raises(CollectorBusy):
            await others.run(os._exit, 3)
        second = await others.run(os.getpid)
        assert second not in (first, os.getpid())


async def test_signals_are_for_the_collector_alone() -> None:
    async with OtherProcesses() as others:
        pid = await others.run(os.getpid)
        work = asyncio.create_task(others.run(time.sleep, 0.2))
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        await work
        assert await others.run(os.getpid) == pid


def test_they_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "holder.py"
    program.write_text(_HOLDER, "utf-8")
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        assert is_running(pid)
        holder.kill()
    wait_until_gone(pid)
