"""How long after Kafka took an event it is in PostgreSQL, in a stack as `runfold up` starts it.

Each burst is a made-up fleet, sent as fast as Kafka takes it. What is waited for is its last
record, and then the figures of hours and days that follow from the burst.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from aiokafka import AIOKafkaProducer
from rich.table import Table

from runfold.deploy.settings import Settings, running_stack
from runfold.producers.demo import generate_fleet
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from tests.integration.stack_parts import wait_until

_LONGEST_SECONDS = 120.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Burst:
    """Units: seconds since Kafka acknowledged the last record."""

    records: int
    lake_seconds: float
    event_seconds: float
    figures_seconds: float
    load: float


async def bursts(number: int, runs: int, pause_seconds: float) -> list[Burst]:
    """Measure so many bursts of so many runs each, with pauses between them."""
    measured = []
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as folder, _stack(Path(folder)) as up:
        with psycopg.connect(up.postgres_url or "", autocommit=True) as connection:
            async with AIOKafkaProducer(
                bootstrap_servers=up.bootstrap, acks="all", linger_ms=5
            ) as producer:
                for lap in range(number + 1):
                    burst = await _measure(producer, up, connection, _fleet(lap, runs))
                    measured.append(burst)
                    await asyncio.sleep(pause_seconds)
    return measured[1:]  # the first one has the tables made


def _fleet(seed: int, runs: int) -> list[tuple[bytes, bytes]]:
    fleet = generate_fleet(seed, datetime.now(UTC), runs, losses=False)
    events = [dict(each.event) for each in fleet if each.event is not None]
    events.append({**events[-1], "event_id": "the last one"})  # some others are repeated
    encode = SparseEncoder(latest("event"))
    for each in events:
        each["run_id"] = f"{seed}-{each['run_id']}"
    return [(each["run_id"].encode(), encode(each)) for each in events]


async def _measure(
    producer: AIOKafkaProducer,
    up: Settings,
    connection: psycopg.Connection,
    records: list[tuple[bytes, bytes]],
) -> Burst:
    load, root, topic = os.getloadavg()[0], up.home / "lake", up.topic
    for key, value in records[:-1]:
        await producer.send(topic, key=key, value=value)
    key, value = records[-1]
    last = await (await producer.send(topic, key=key, value=value))
    await producer.flush()
    began = time.perf_counter()

    def is_in_lake() -> bool:
        files = root.glob(f"*/events/*/*/p{last.partition:02}-*.parquet")
        return any(int(each.stem.rpartition("-")[2]) >= last.offset for each in files)

    def is_there() -> bool:
        found = connection.execute(
            "select from runfold.event_rows where partition = %s and log_offset = %s",
            [last.partition, last.offset],
        )
        return found.rowcount > 0

    def is_counted() -> bool:
        found = connection.execute("select from runfold.stale_buckets limit 1")
        return found.rowcount == 0

    in_lake = _seconds_until(began, is_in_lake)
    in_postgres = _seconds_until(began, is_there)
    return Burst(len(records), in_lake, in_postgres, _seconds_until(began, is_counted), load)


def _seconds_until(began: float, holds: Callable[[], bool]) -> float:
    while not _asked(holds):
        if time.perf_counter() - began > _LONGEST_SECONDS:
            raise TimeoutError(f"it is not there after {_LONGEST_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)
    return time.perf_counter() - began


def _asked(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except psycopg.errors.UndefinedTable:  # the export has not begun yet
        return False


class _Stack:
    """A stack of its own, by the command and at free ports."""

    def __init__(self, folder: Path) -> None:
        environment = {
            "HOME": str(folder),
            "RUNFOLD_COLLECTOR_LISTEN": "127.0.0.1:0",
            "XDG_CACHE_HOME": str(Path("~/.cache").expanduser()),
        }
        self.output = folder / "up.log"
        command = [sys.executable, "-m", "runfold.deploy", "up", "--data-dir", str(folder)]
        with self.output.open("wb") as output:
            self.up: subprocess.Popen[bytes] = subprocess.Popen(
                command, env=os.environ | environment, stdout=output, stderr=output
            )

    def said(self) -> str:
        return self.output.read_text("utf-8", "replace")


@contextmanager
def _stack(folder: Path) -> Iterator[Settings]:
    with socket.socket() as usual:
        with suppress(OSError):  # nobody is to take this Kafka for their own
            usual.bind(("127.0.0.1", 9092))
        stack = _Stack(folder)
        try:
            wait_until(lambda: bool(running_stack(folder)), "the stack is up", workers=[stack])
            yield Settings(data_dir=folder)
        finally:
            stack.up.terminate()
            stack.up.wait(60)


def shown(measured: list[Burst]) -> Table:
    """Return the figures as a table."""
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{len(measured)} bursts", no_wrap=True)
    for name in ("p50", "p95", "max"):
        table.add_column(name, justify="right")
    for what, values in (
        ("event in the lake, s", [each.lake_seconds for each in measured]),
        ("event in PostgreSQL, s", [each.event_seconds for each in measured]),
        ("figures computed, s", [each.figures_seconds for each in measured]),
        ("load before", [each.load for each in measured]),
        ("records", [float(each.records) for each in measured]),
    ):
        p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
        figures = (statistics.median(values), p95, max(values))
        table.add_row(what, *(f"{each:,.1f}" for each in figures))
    return table
