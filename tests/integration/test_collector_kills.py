"""The collector is killed under load: what it acknowledged is in the log, and counts once.

`make collector-chaos` kills it ten times and more.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson

from runfold.deploy.embedded import KafkaServer
from tests.collector_process import CollectorProcess, events_of
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    wait_until,
)

KILLS = int(os.environ.get("KILLS", "2"))
SENDERS = 4
EVENTS_A_REQUEST = 10
ACKNOWLEDGED_A_KILL = 300
"""So many events are acknowledged between two kills, at least."""


class Sender(threading.Thread):
    """A client that sends a request until it is answered, as every client of the collector does.

    Shape: one run, numbered without holes; `acknowledged` is the number of its last event that a
    200 said was taken.
    """

    def __init__(self, number: int, collector: CollectorProcess) -> None:
        super().__init__(daemon=True)
        self._run = f"killed-{number}"
        self._collector = collector
        self.acknowledged = 0
        self.tries = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            numbers = range(self.acknowledged + 1, self.acknowledged + 1 + EVENTS_A_REQUEST)
            body = b"\n".join(map(self._line, numbers))
            if self._deliver(body):
                self.acknowledged = numbers[-1]

    def _deliver(self, body: bytes) -> bool:
        while True:
            self.tries += 1
            try:
                url = f"{self._collector.url}/api/v1/events"
                answer = httpx.post(url, content=body, timeout=30)
                if answer.status_code == 200:
                    assert answer.json()["accepted"] == EVENTS_A_REQUEST
                    return True
            except (httpx.TransportError, FileNotFoundError):
                pass
            if self.stopping.is_set():
                return False
            time.sleep(0.05)

    def _line(self, number: int) -> bytes:
        return orjson.dumps(
            {
                "event_id": f"{self._run}-{number}",
                "run_id": self._run,
                "event_type": "tool.ended",
                "occurred_at": 1_763_700_000_000_000 + number,
            }
        )


def acknowledged(senders: list[Sender]) -> int:
    return sum(each.acknowledged for each in senders)


def kills(collector: CollectorProcess, senders: list[Sender]) -> Iterator[int]:
    """Kill the collector, again and again, once enough was acknowledged since the last time."""
    for _ in range(KILLS):
        enough = acknowledged(senders) + ACKNOWLEDGED_A_KILL
        wait_until(
            lambda enough=enough: acknowledged(senders) >= enough,  # type: ignore[misc]
            "the clients get on",
            workers=[collector],
        )
        collector.kill()
        yield acknowledged(senders)
        collector.start_again()


def test_nothing_acknowledged_is_lost_or_counted_twice_however_often_it_is_killed(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    asyncio.run(make_topics(kafka.bootstrap, topic_name))
    with CollectorProcess(kafka.bootstrap, topic_name, tmp_path / "collector") as collector:
        senders = [Sender(number, collector) for number in range(SENDERS)]
        for each in senders:
            each.start()
        for done in kills(collector, senders):
            print(f"killed with {done:,} events acknowledged")  # noqa: T201
        enough = acknowledged(senders) + ACKNOWLEDGED_A_KILL
        wait_until(lambda: acknowledged(senders) >= enough, "they get on", workers=[collector])
        for each in senders:
            each.stopping.set()
        for each in senders:
            each.join()
        assert collector.stop() == 0

    records = asyncio.run(events_of(kafka.bootstrap, topic_name))
    lake = PlainDuckDB(tmp_path / "lake")
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_until(lambda: lake.accounted() == len(records), "folded", workers=[worker])
    stored = dict(lake.rows("select run_id, count(*) from events group by 1"))
    distinct = Counter(run_id for run_id, _ in {(each.run_id, each.event_id) for each in records})
    assert stored == dict(distinct)
    for number, sender in enumerate(senders):
        numbers = {int(each.event_id.rpartition("-")[2]) for each in records
                   if each.run_id == f"killed-{number}"}  # fmt: skip
        assert set(range(1, sender.acknowledged + 1)) <= numbers
    print(  # noqa: T201
        f"{acknowledged(senders):,} events acknowledged, {sum(s.tries for s in senders):,} tries, "
        f"{len(records):,} records, {len(records) - sum(distinct.values()):,} repeated"
    )
