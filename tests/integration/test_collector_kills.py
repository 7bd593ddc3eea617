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
from tests.otlp_requests import CHAT, span, traces

KILLS = int(os.environ.get("KILLS", "2"))
SENDERS = 4
EVENTS_A_REQUEST = 10
SPANS_A_REQUEST = 100
ACKNOWLEDGED_A_KILL = 1000
"""So many events are acknowledged between two kills, at least."""
NOW_US = 1_763_700_000_000_000


class Sender(threading.Thread):
    """A client that sends a request until it is answered, as every client of the collector does.

    Shape: `acknowledged` are the ids of the events that a 200 said were taken.
    """

    def __init__(self, number: int, collector: CollectorProcess) -> None:
        super().__init__(daemon=True)
        self.number = number
        self._collector = collector
        self.acknowledged: set[str] = set()
        self.tries = 0
        self.stopping = threading.Event()

    def request(self, number: int) -> tuple[str, str, bytes, list[str]]:
        """Return the path, the type and the body of a request, and the ids of its events."""
        run = f"killed-{self.number}"
        first = number * EVENTS_A_REQUEST
        ids = [f"{run}-{first + at}" for at in range(EVENTS_A_REQUEST)]
        lines = [
            {"event_id": each, "run_id": run, "event_type": "tool.ended", "occurred_at": NOW_US}
            for each in ids
        ]
        return "/api/v1/events", "application/x-ndjson", b"\n".join(map(orjson.dumps, lines)), ids

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            path, content_type, body, ids = self.request(number)
            if self._deliver(path, content_type, body):
                self.acknowledged.update(ids)
                number += 1

    def _deliver(self, path: str, content_type: str, body: bytes) -> bool:
        headers = {"content-type": content_type}
        while True:
            self.tries += 1
            try:
                url = f"{self._collector.url}{path}"
                answer = httpx.post(url, content=body, headers=headers, timeout=30)
                if answer.status_code == 200:
                    assert_all_taken(answer)
                    return True
            except (httpx.TransportError, FileNotFoundError):
                pass
            if self.stopping.is_set():
                return False
            time.sleep(0.05)


class SpanSender(Sender):
    """One whose requests are so large that other processes of the collector read them."""

    def request(self, number: int) -> tuple[str, str, bytes, list[str]]:
        """Return a request with many spans, see `Sender`."""
        trace = f"{self.number + 1:016x}{number + 1:016x}"
        spans = [span(at + 2, CHAT, parent=1, trace=trace) for at in range(SPANS_A_REQUEST)]
        ids = [f"otlp-{trace}-{at + 2:016x}" for at in range(SPANS_A_REQUEST)]
        return "/v1/traces", "application/x-protobuf", traces(*spans), ids


def assert_all_taken(answer: httpx.Response) -> None:
    if answer.headers["content-type"].startswith("application/json"):
        assert answer.json() == {"accepted": EVENTS_A_REQUEST, "rejected": []}
    else:
        assert answer.content == b""


def acknowledged(senders: list[Sender]) -> int:
    return sum(len(each.acknowledged) for each in senders)


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
        senders.append(SpanSender(SENDERS, collector))
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
    found = {each.event_id for each in records}
    for sender in senders:
        assert sender.acknowledged <= found
    print(  # noqa: T201
        f"{acknowledged(senders):,} events acknowledged, {sum(s.tries for s in senders):,} tries, "
        f"{len(records):,} records, {len(records) - sum(distinct.values()):,} repeated"
    )
