"""How long a killed worker is missed, and how fast a log is replayed.

Run it with `python -m tests.benchmarks.recovery [--events N] [--kills N]`, which brings a Kafka of
its own. Recovery: from `kill -9` of one of two workers until all that the log held at that moment
is in the lake, while events go on coming. Replay: the whole command, its start included.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
from runfold.deploy.log_lag import log_bounds
from runfold.schemas.offsets import tile
from runfold.schemas.topic import EVENTS
from runfold.sinks.lake_files import Kind, list_whole_lake
from tests.benchmarks import report
from tests.benchmarks.fleet import fill
from tests.chaos.feed import Publishing, records
from tests.integration.stack_parts import WorkerProcess

RATE = 2000
_SETTLE_SECONDS = 5.0
_GIVE_UP_SECONDS = 180.0


def stored_ends(lake: Path) -> dict[int, int]:
    """Return for each partition the offset up to which events and states are in the lake."""
    ends: dict[int, int] = {}
    kinds = [list_whole_lake(lake, kind)[0] for kind in Kind]
    for partition in {file.log.partition for file in kinds[0]}:
        of_kinds = ([file for file in files if file.log.partition == partition] for files in kinds)
        ends[partition] = min(tile(files).contiguous_from(0) for files in of_kinds)
    return ends


def wait_for(lake: Path, wanted: dict[int, int]) -> None:
    """Return when the lake has all before the offsets `wanted`."""
    give_up_at = time.monotonic() + _GIVE_UP_SECONDS
    while True:
        ends = stored_ends(lake)
        if all(ends.get(partition, 0) >= end for partition, end in wanted.items()):
            return
        if time.monotonic() > give_up_at:
            raise SystemExit(f"not within {_GIVE_UP_SECONDS:.0f} s: {ends}, wanted {wanted}")
        time.sleep(0.05)


def recoveries(bootstrap: str, lake: Path, kills: int) -> list[float]:
    """Kill one of two workers so many times; return the seconds until nothing was behind."""
    publishing = Publishing(bootstrap, EVENTS.name, records(1, 10**9), rate=RATE)
    publishing.start()
    workers = [_worker(bootstrap, lake) for _ in range(2)]
    seconds: list[float] = []
    try:
        for _ in range(kills):
            wait_for(lake, asyncio.run(log_bounds(bootstrap, EVENTS.name)).next_offsets)
            time.sleep(_SETTLE_SECONDS)
            workers.pop(0).kill()
            killed = time.monotonic()
            wait_for(lake, asyncio.run(log_bounds(bootstrap, EVENTS.name)).next_offsets)
            seconds.append(time.monotonic() - killed)
            sys.stderr.write(f"recovered after {seconds[-1]:.1f} s\n")
            workers.append(_worker(bootstrap, lake))
    finally:
        publishing.stop()
        for worker in workers:
            worker.__exit__()
    return seconds


def _worker(bootstrap: str, lake: Path) -> WorkerProcess:
    return WorkerProcess(bootstrap, EVENTS.name, lake, "--flush-interval", "2")


def replay(bootstrap: str, lake: Path, into: str, *options: str) -> float:
    """Replay the log into a set; return how many seconds the command took."""
    command = [sys.executable, "-m", "runfold.deploy", "replay", "--into", into, *options]
    command += ["--lake", str(lake), "--data-dir", str(lake.parent)]
    started = time.monotonic()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "RUNFOLD_BROKER": bootstrap},
    )  # fmt: skip
    return time.monotonic() - started


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recovery")
    parser.add_argument("--events", type=int, default=306_000, help="records that are replayed")
    parser.add_argument("--kills", type=int, default=5)
    given = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a new topic has no leader at first
    command = f"python -m tests.benchmarks.recovery --events {given.events} --kills {given.kills}"
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    table = Table(title="recovery and replay", title_justify="left", box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("figure", justify="right")
    options = KafkaOptions(client_port=0, controller_port=0)
    with (
        tempfile.TemporaryDirectory(prefix="runfold-bench-") as folder,
        KafkaServer(Path(folder) / "kafka", prepare_runtime(), options=options) as kafka,
    ):
        lake = Path(folder) / "lake"
        asyncio.run(fill(kafka.bootstrap, EVENTS.name, given.events))
        with _worker(kafka.bootstrap, lake) as worker:
            wait_for(lake, asyncio.run(log_bounds(kafka.bootstrap, EVENTS.name)).next_offsets)
            worker.stop()
        for name, source in (("topic", ()), ("lake", ("--from-lake",))):
            seconds = replay(kafka.bootstrap, lake, name, *source)
            speed = given.events / seconds
            table.add_row(f"replay from the {name}", f"{speed:,.0f} records/s ({seconds:.1f} s)")
        killed = recoveries(kafka.bootstrap, lake, given.kills)
    table.add_row(
        f"recovery after kill -9, {len(killed)} times",
        f"{statistics.median(killed):.1f} s ({min(killed):.1f} to {max(killed):.1f})",
    )
    console = Console()
    console.print(table)
    console.print()
    report.show_machine(console, machine, {})


if __name__ == "__main__":
    main()
