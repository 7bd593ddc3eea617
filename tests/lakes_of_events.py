"""Lakes made of events, by way of the fold, for tests of what is asked of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from runfold.processors.run_table import RunTable
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.event import Event
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch
from runfold.sinks.lake import LocalLake

NOON_US = 1_763_035_200_000_000  # 2025-11-13 12:00:00 UTC
SECOND_US = 1_000_000
LOG = LogPartition("a-topic", 0)
_ENCODE = SparseEncoder(latest("event"))


def event(run_id: str, event_type: str, at: float = 0, **fields: object) -> Event:
    """Return an event of a run, `at` seconds after noon."""
    return Event(
        event_id=str(
            fields.pop("event_id", f"{run_id} {event_type} {at} {sorted(fields.items())}")
        ),
        run_id=run_id,
        event_type=event_type,
        occurred_at=NOON_US + round(at * SECOND_US),
        **fields,  # type: ignore[arg-type]
    )


def encoded(each: Event) -> bytes:
    """Return an event as the value of its record."""
    return _ENCODE(asdict(each))


def now_us(ago_seconds: float = 0) -> int:
    """Return the present time as the log records it, or one before it."""
    return round((time.time() - ago_seconds) * SECOND_US)


class LakeOfEvents:
    """A lake into which events are put as a worker would put them."""

    def __init__(self, root: Path, log: LogPartition = LOG) -> None:
        self.root = root
        self._lake = LocalLake(root)
        self._table = RunTable(log, 0)

    def put(self, *events: Event, recorded_at_us: int = NOON_US) -> LakeOfEvents:
        """Write one flush."""
        records = [(each.run_id.encode(), encoded(each)) for each in events]
        return self.put_records(records, recorded_at_us=recorded_at_us)

    def put_records(
        self, records: Iterable[tuple[bytes, bytes]], *, recorded_at_us: int = NOON_US
    ) -> LakeOfEvents:
        """Write one flush of records, which may be no events."""
        keys, values = zip(*records, strict=True)
        first = self._table.next_offset
        offsets = list(range(first, first + len(keys)))
        times = [recorded_at_us // 1000] * len(keys)
        batch = RecordBatch(self._table.log, first, offsets, times, list(keys), list(values))
        self._table.take(batch)
        flush = self._table.pending()
        if flush is not None:
            self._lake.write(flush)
            self._table.flushed(flush)
        return self
