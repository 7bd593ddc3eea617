"""Parts of the pipeline as the tests use them: a topic, a filled log, workers as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from runfold.producers.demo import DemoRecord
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.topic import DEAD_LETTERS, EVENTS
from runfold.sinks.lake_connection import lake_connection
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at
from tests.ending_with_us import ending_with_us
from tests.independent_fold import COMPARED

WAIT_SECONDS = 120.0
PLAIN = ("runfold.deploy",)


def planted(plant: str, rate: int) -> Sequence[str]:
    """Return the program of a worker with a bug in it, see `tests.plants`."""
    return ("tests.planted_worker", "--plant", plant, "--rate", str(rate))


async def make_topics(bootstrap: str, topic: str, *, partitions: int = 3) -> None:
    """Create an events topic of that name, and the dead letters' topic."""
    await ensure_topics(
        bootstrap, [replace(EVENTS, name=topic, partitions=partitions), DEAD_LETTERS]
    )


async def publish(bootstrap: str, topic: str, records: Iterable[DemoRecord]) -> int:
    """Put records into the log as they are; return how many."""
    count = 0
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=10, max_request_size=16 << 20
    ) as producer:
        encode = SparseEncoder(latest("event"))
        for record in records:
            key, value = _bytes_of(record, encode)
            await producer.send(topic, key=key, value=value)
            count += 1
        await producer.flush()
    return count


def _bytes_of(record: DemoRecord, encode: SparseEncoder) -> tuple[bytes | None, bytes | None]:
    if record.bad is not None:
        return record.bad.key, record.bad.value
    event = record.event or {}
    return event["run_id"].encode(), encode(event)


class WorkerProcess:
    """One `runfold worker`; it is killed when the test leaves its `with` block."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        lake: LakePath,
        *options: str,
        program: Sequence[str] = PLAIN,
    ) -> None:
        logs = lake.parent if isinstance(lake, Path) else Path(tempfile.mkdtemp(prefix="runfold-"))
        self.log = logs / f"worker-{time.monotonic_ns()}.log"
        command = [
            sys.executable, "-m", *program, "worker", "--broker", bootstrap,
            "--topic", topic, "--lake", str(lake), "--group", f"test-{topic}",
            "--flush-interval", "0.2", "--verbose", *options,
        ]  # fmt: skip
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(ending_with_us(command), stdout=output, stderr=output)

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator would, once it works; return its exit code."""
        wait_until(lambda: "partitions resumed" in self.said(), "it works", workers=[self])
        self.process.terminate()
        return self.process.wait(WAIT_SECONDS)

    def shares(self) -> bool:
        """Tell whether it has some partitions of four, and not all of them."""
        resumed = [line for line in self.said().splitlines() if "partitions resumed" in line]
        return bool(resumed) and 0 < len(json.loads(resumed[-1])["next_offsets"]) < 4

    def said(self) -> str:
        """Return what it logged."""
        return self.log.read_text("utf-8", "replace")


def wait_until(condition: Callable[[], bool], what: str, *, workers: Iterable[Any] = ()) -> None:
    """Return when `condition` holds; fail after two minutes, with what the workers logged."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > give_up_at:
            logs = "\n".join(worker.said()[-3000:] for worker in workers)
            raise AssertionError(f"{what}: not within {WAIT_SECONDS:.0f} s\n{logs}")
        time.sleep(0.1)


class PlainDuckDB:
    """The lake as DuckDB alone sees it, by the views that lie in it."""

    def __init__(self, lake: LakePath) -> None:
        self._root = lake

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the result of `sql`; nothing while there is no lake."""
        try:
            views = at(self._root / "views.sql").read().decode()
        except FileNotFoundError:
            return []
        with lake_connection(self._root) as connection:
            connection.execute(views)
            return connection.execute(sql).fetchall()

    def accounted(self) -> int:
        """Return how many records of the log are accounted for by events and by states files."""
        events = self.rows("select coalesce(sum(last - first + 1), 0) from lake_event_files")
        states = self.rows(
            rf"""
            with named as (
                select regexp_extract(file, '([^/]+)/states/', 1) as topic_id,
                       regexp_extract(file, '/p([0-9]+)-([0-9]+)-([0-9]+)[.]parquet$',
                                      ['partition', 'first', 'last']) as place
                from glob('{self._root}/*/states/p*.parquet')
            ),
            swept as (
                select place.first::bigint as first, place.last::bigint as last,
                       max(place.last::bigint) over (
                           partition by topic_id, place.partition
                           order by place.first::bigint, place.last::bigint desc
                           rows between unbounded preceding and 1 preceding) as covered
                from named
            )
            select coalesce(sum(last - greatest(first, coalesce(covered + 1, first)) + 1), 0)
            from swept where covered is null or last > covered
            """
        )
        return min(int(each) for [(each,)] in (events, states)) if events else 0

    def runs(self) -> dict[str, dict[str, Any]]:
        """Return what the lake says of each run, of what the second opinion says too."""
        found = self.rows(f"select run_id, {', '.join(COMPARED)} from lake_states")
        return {run_id: dict(zip(COMPARED, values, strict=True)) for run_id, *values in found}
