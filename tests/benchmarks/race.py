"""Every contender in a process of its own, one after the other, several rounds.

The rounds are interleaved, so that what else the machine does hits all alike. What a contender
holds at the end is checked against what was filled: nobody is fast by being wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from aiokafka.admin import AIOKafkaAdminClient

from tests.benchmarks.fleet import FilledTopic, Totals

REPOSITORY = Path(__file__).parents[2]
QUIX_PYTHON = REPOSITORY / ".venv-bench" / "bin" / "python"
CONTENDERS = "tests.benchmarks.contenders"

_GIVE_UP_SECONDS = 180.0
_STOP_SECONDS = 30.0


class WrongAnswer(Exception):
    """A contender did not end with what was filled, or did not end."""


@dataclass(frozen=True, slots=True)
class Arena:
    """Where the race takes place.

    Units: `flush_seconds` is the flush interval of runfold's workers.
    """

    bootstrap: str
    folder: Path
    flush_seconds: float

    def fresh(self, name: str) -> Path:
        """Return a new folder, whose name also serves as the name of a consumer group."""
        path = self.folder / f"{name}-{uuid.uuid4().hex[:8]}"
        path.mkdir()
        return path


@dataclass(frozen=True, slots=True)
class Lap:
    """One contender's time over one topic.

    Units: `seconds` from its first fetched record to its last result, `cpu_seconds` what its
    processes computed in between.
    """

    records: int
    seconds: float
    cpu_seconds: float

    @property
    def records_per_second(self) -> float:
        """How fast it was."""
        return self.records / self.seconds

    @property
    def cpu_us_a_record(self) -> float:
        """How much of a core it took, which depends less on what else the machine does."""
        return self.cpu_seconds / self.records * 1e6


Contender = Callable[[Arena, FilledTopic], Lap]


class Child:
    """A contender's process; its facts are lines of JSON, its complaints go to a file."""

    def __init__(self, module: str, *arguments: object, log: Path, python: str = "") -> None:
        self._log = log
        with log.open("ab") as complaints:
            self.started = time.monotonic()
            self._process = subprocess.Popen(
                [python or sys.executable, "-m", f"{CONTENDERS}.{module}", *map(str, arguments)],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=complaints,
                stdin=subprocess.DEVNULL,
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = b""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def facts(self) -> list[dict[str, Any]]:
        """Return what it has said since the last call. Raises: WrongAnswer where it has failed."""
        assert self._process.stdout is not None
        ended = self._process.poll()
        text = self._rest + (self._process.stdout.read() or b"")
        *lines, self._rest = text.split(b"\n")
        if ended and not lines:
            raise WrongAnswer(f"exit code {ended}; {self._log} ends:\n{self._tail()}")
        return [json.loads(line) for line in lines if line]

    def wait_for(self, *names: str) -> dict[str, Any]:
        """Return the first line that has all of `names`. Raises: WrongAnswer."""
        give_up_at = time.monotonic() + _GIVE_UP_SECONDS
        while time.monotonic() < give_up_at:
            for each in self.facts():
                if all(each.get(name) is not None for name in names):
                    return each
            time.sleep(0.05)
        raise WrongAnswer(f"nothing said within {_GIVE_UP_SECONDS:g} s; {self._tail()}")

    def stop(self) -> None:
        """End it and wait for its end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tail(self) -> str:
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-15:])


def raw_fetch(arena: Arena, topic: FilledTopic) -> Lap:
    """Fetch by plain aiokafka."""
    arguments = (arena.bootstrap, topic.name, topic.records)
    said = _said_at_end("raw_fetch", *arguments, log=arena.folder / "raw.log")
    _check("raw fetch", said["records"], topic.records)
    return _lap(topic.records, said)


def quix(arena: Arena, topic: FilledTopic) -> Lap:
    """Fold by Quix Streams."""
    return _folded_by("quix", "quix_fold", arena, topic, python=str(QUIX_PYTHON))


def plain_faust(arena: Arena, topic: FilledTopic) -> Lap:
    """Fold by a plain Faust agent."""
    return _folded_by("faust", "faust_fold", arena, topic)


def _folded_by(name: str, module: str, arena: Arena, topic: FilledTopic, python: str = "") -> Lap:
    folder = arena.fresh(name)
    arguments = (arena.bootstrap, topic.name, topic.records, folder)
    log = folder.with_suffix(".log")
    said = _said_at_end(module, *arguments, log=log, python=python)
    _check(name, Totals(said["events"], said["input_tokens"]), topic.totals)
    return _lap(topic.records, said)


def _lap(records: int, said: dict[str, Any]) -> Lap:
    (first, cpu_before), (done, cpu_after) = said["first"], said["done"]
    return Lap(records, done - first, cpu_after - cpu_before)


def _said_at_end(module: str, *arguments: object, log: Path, python: str = "") -> dict[str, Any]:
    child = Child(module, *arguments, log=log, python=python)
    try:
        return child.wait_for("done")
    finally:
        child.stop()


def runfold_workers(count: int) -> Contender:
    """Return the contender of `count` workers of runfold in one group."""

    def contend(arena: Arena, topic: FilledTopic) -> Lap:
        lake = arena.fresh("lake")
        lap = drain(arena, topic, lake, workers=count)
        check_lake(lake, topic.totals)
        committed = asyncio.run(_committed(arena.bootstrap, lake.name))
        _check("offsets committed by runfold", committed, topic.records)
        return lap

    return contend


def drain(
    arena: Arena,
    topic: FilledTopic,
    lake: Path,
    *,
    workers: int = 1,
    while_running: Callable[[Sequence[Child]], None] | None = None,
) -> Lap:
    """Have workers fold all of `topic` into `lake`, in the consumer group of its name.

    The lap ends with the commit after the last flush; `while_running` is called then, before the
    workers stop.
    Raises: WrongAnswer.
    """
    arguments = (arena.bootstrap, topic.name, lake.name, lake, arena.flush_seconds)
    log = lake.with_suffix(".log")
    children = [Child("runfold_worker", *arguments, log=log) for _ in range(workers)]
    try:
        begun: dict[int, list[float]] = {}
        ended: dict[int, list[float]] = {}
        durable: dict[str, int] = {}
        give_up_at = time.monotonic() + _GIVE_UP_SECONDS
        while time.monotonic() < give_up_at:
            for child in children:
                for each in (line for line in child.facts() if line.get("first")):
                    begun[child.pid] = each["first"]
                    if any(durable.get(key) != each["durable"][key] for key in each["durable"]):
                        durable |= each["durable"]
                        ended[child.pid] = each["now"]
            if sum(durable.values()) >= topic.records:
                if while_running is not None:
                    while_running(children)
                first, done = (
                    min(at for at, _ in begun.values()),
                    max(at for at, _ in ended.values()),
                )
                cpu = sum(ended[pid][1] - begun[pid][1] for pid in ended)
                return Lap(topic.records, done - first, cpu)
            time.sleep(0.02)
        raise WrongAnswer(f"{sum(durable.values())} of {topic.records} records durable")
    finally:
        for child in children:
            child.stop()


def check_lake(lake: Path, expected: Totals) -> None:
    """Compare what lies in the lake, as plain DuckDB reads it, with what was filled."""
    with duckdb.connect() as database:
        database.execute(
            f"""select count(distinct event_id), count(*)
                from read_parquet('{lake}/*/events/*/*/p*.parquet')"""
        )
        events = database.fetchall()
        database.execute(
            f"""select sum(events)::bigint, sum(input_tokens)::bigint
                from (select events, input_tokens, row_number() over
                          (partition by run_id order by last_offset desc) as rank
                      from read_parquet('{lake}/*/states/p*.parquet')) where rank = 1"""
        )
        states = database.fetchall()
    _check("event files of runfold", events, [(expected.events, expected.events)])
    _check("state files of runfold", states, [(expected.events, expected.input_tokens)])


def _check(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise WrongAnswer(f"{what}: {found}, not {expected}")


async def _committed(bootstrap: str, group: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        offsets = await admin.list_consumer_group_offsets(group)
        return sum(each.offset for each in offsets.values())
    finally:
        await admin.close()
