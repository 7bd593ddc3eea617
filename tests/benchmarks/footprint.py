"""Memory of the stack as `runfold up` runs it, and how a worker starts over many runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from runfold.deploy.embedded import KafkaOptions, KafkaRuntime, KafkaServer
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.topic import EVENTS
from tests.benchmarks.fleet import fill
from tests.benchmarks.race import Arena, Child, check_lake, drain

EVENTS_A_SHORT_RUN = 3

_SETTLE_SECONDS = 5.0
_DEFAULT_FLUSH_SECONDS = 2.0
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the stack takes.

    Units: memory is resident, in MiB, of Kafka with a topic of no records and of a worker over an
    empty lake; of the worker that folded `runs` runs; of one that loaded them from the lake.
    `start_seconds` from the start of that one's process until it reads on; `load_seconds` the part
    of it that reads the lake.
    """

    idle_kafka_mebibytes: float
    idle_worker_mebibytes: float
    runs: int
    folded_mebibytes: float
    loaded_mebibytes: float
    start_seconds: float
    load_seconds: float


def measure(folder: Path, runtime: KafkaRuntime, runs: int) -> Footprint:
    """Start a stack of its own, look at it idle, then fold and load `runs` runs."""
    options = KafkaOptions(client_port=0, controller_port=0)
    with KafkaServer(folder / "kafka-footprint", runtime, options=options) as kafka:
        arena = Arena(kafka.bootstrap, folder, _DEFAULT_FLUSH_SECONDS)
        asyncio.run(ensure_topics(kafka.bootstrap))
        worker = _worker(arena, EVENTS.name, arena.fresh("idle"))
        try:
            worker.wait_for("resumed")
            time.sleep(_SETTLE_SECONDS)
            idle_kafka, idle_worker = _resident(kafka.pid), _resident(worker.pid)
        finally:
            worker.stop()

        topic = asyncio.run(
            fill(
                kafka.bootstrap,
                "bench.runs",
                runs * EVENTS_A_SHORT_RUN,
                events_a_run=EVENTS_A_SHORT_RUN,
            )
        )
        lake = arena.fresh("lake")
        folded: list[float] = []

        def look(children: Sequence[Child]) -> None:
            time.sleep(_SETTLE_SECONDS)
            folded.append(sum(_resident(each.pid) for each in children))

        drain(arena, topic, lake, while_running=look)
        check_lake(lake, topic.totals)

        again = _worker(arena, topic.name, lake)
        try:
            said = again.wait_for("resumed")
            time.sleep(_SETTLE_SECONDS)
            loaded = _resident(again.pid)
        finally:
            again.stop()
    start, load = said["resumed"] - again.started, said["resumed"] - said["began"]
    return Footprint(idle_kafka, idle_worker, said["runs"], folded[0], loaded, start, load)


def _worker(arena: Arena, topic: str, lake: Path) -> Child:
    arguments = (arena.bootstrap, topic, lake.name, lake, arena.flush_seconds)
    return Child("runfold_worker", *arguments, log=lake.with_suffix(".log"))


def _resident(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / _MEBIBYTE
