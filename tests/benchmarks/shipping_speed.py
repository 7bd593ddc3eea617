"""How fast a journal is moved into Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from runfold.producers import Client
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.producers.orphans import ship_orphans
from runfold.producers.publisher import Publisher
from runfold.schemas.errors import BrokerUnavailable

_EVENTS_A_RUN = 20


def shipped_per_second(folder: Path, bootstrap: str, events: int) -> float:
    """Return how many events a second `ship_orphans` moves, connecting aside."""
    _fill(folder, events)
    return asyncio.run(_ship(folder, bootstrap))


@asynccontextmanager
async def _closed() -> AsyncIterator[Publisher]:
    raise BrokerUnavailable("the journal is filled first")
    yield  # a context manager has one


def _fill(folder: Path, events: int) -> None:
    client = Client(agent="bench", journal_dir=folder, publisher=_closed, heartbeat_seconds=None)
    for _ in range(events // _EVENTS_A_RUN):
        run_id = client.start_run()
        for _ in range(_EVENTS_A_RUN - 2):
            client.event(run_id, "tool.ended", tool_name="fetch", status="success",
                         duration_ms=12.5, url="https://example.org/a/page")  # fmt: skip
        client.end_run(run_id)
    client.close(timeout=0)


async def _ship(folder: Path, bootstrap: str) -> float:
    async with KafkaPublisher(bootstrap, patience=timedelta(seconds=30)) as publisher:
        began = time.perf_counter()
        counts = await ship_orphans(folder, publisher)
        return counts.shipped / (time.perf_counter() - began)
