"""A log with its true states, and workers over it that take, stop and write as they are told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
from hypothesis import strategies as st

from runfold.processors.run_table import RunTable
from runfold.schemas.codec.arrow import states_to_table
from runfold.schemas.codec.columns import decode_event_batch
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.lake import Flush, LakeStore, ResumePoint
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch
from runfold.schemas.run_state import RunState
from tests.event_strategies import events

HOUR_MS = 3_600_000
FIRST_MS = 1_763_000_000_000
_ENCODE = SparseEncoder(latest("event"))


@dataclass(frozen=True)
class Log:
    """Records of one partition; `start` is where the log begins, gaps between offsets are normal.

    Units: `timestamps_ms` milliseconds since 1970 UTC.
    """

    place: LogPartition
    start: int
    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]

    def batch(self, position: int, records: int) -> RecordBatch | None:
        """Return up to so many records from `position` on, None at the end of the log."""
        at = next((i for i, each in enumerate(self.offsets) if each >= position), None)
        if at is None or records == 0:
            return None
        part = slice(at, at + records)
        return RecordBatch(
            self.place,
            position,
            self.offsets[part],
            self.timestamps_ms[part],
            self.keys[part],
            self.values[part],
        )

    def folded_to(self, next_offset: int) -> RunTable:
        """Return the table after one clean pass over all before `next_offset`."""
        table = RunTable(self.place, self.start)
        records = sum(offset < next_offset for offset in self.offsets)
        batch = self.batch(self.start, records)
        if batch is not None:
            table.take(batch)
        return table


@st.composite
def logs(draw: st.DrawFn, topic_id: str = "a-topic") -> Log:
    """Draw a log over some hours, in which some records are no events."""
    start = draw(st.integers(0, 5))
    offset, time_ms = start + draw(st.integers(0, 2)), FIRST_MS
    log = Log(LogPartition(topic_id, draw(st.integers(0, 3))), start, [], [], [], [])
    for event in draw(st.lists(st.none() | events(), min_size=1, max_size=25)):
        log.offsets.append(offset)
        log.timestamps_ms.append(time_ms)
        log.keys.append(event.run_id.encode() if event else b"a key")
        log.values.append(_ENCODE(asdict(event)) if event else b"no event")
        offset += draw(st.sampled_from([1, 1, 1, 3]))
        time_ms += draw(st.sampled_from([0, 1, HOUR_MS // 2, 26 * HOUR_MS]))
    return log


class Worker:
    """Folds a log into a lake; paused for as long as nobody calls it, it may be far behind."""

    def __init__(self, lake: LakeStore, log: Log) -> None:
        self._log = log
        self._lake = lake
        point = lake.resume(log.place)
        first = log.start if point.next_offset is None else point.next_offset
        self.table = RunTable(log.place, first, point.runs)
        self.table.most_runs = 2  # so that states leave it, and are brought back

    def take(self, records: int) -> Flush | None:
        """Fold so many records more; return what is to be written."""
        batch = self._log.batch(self.table.next_offset, records)
        if batch is not None:
            past = self.table.past_runs(decode_event_batch(batch).frame)
            self.table.bring_back(self._lake.states_of(self._log.place, past))
            self.table.take(batch)
        return self.table.pending()

    def write(self, records: int) -> Flush | None:
        """Fold so many records more and write them; return what is durable now."""
        flush = self.take(records)
        if flush is not None:
            self._lake.write(flush)
            self.table.flushed(flush)
        return flush


def stored_states(
    lake: LakeStore, place: LogPartition, point: ResumePoint, true: list[RunState]
) -> list[RunState]:
    """Return the states that `lake` holds at `point` of the runs of `true`, which are all."""
    known = point.runs.find([state.run_id for state in true])
    assert len(known) == len(point.runs)
    return lake.states_of(place, known)


def rows_of(flush: Flush) -> pl.DataFrame:
    """Return the rows that are to be written to events files."""
    assert flush.events is not None
    return flush.events


def as_written(states: list[RunState]) -> list[str]:
    """Return states in a form that can be compared: nan equals nan."""
    table = states_to_table(sorted(states, key=lambda state: state.run_id))
    return [repr(row) for row in table.to_pylist()]


def true_states(table: RunTable) -> list[RunState]:
    """Return all states of a table that has not been flushed."""
    flush = table.pending()
    return [] if flush is None else flush.states


def true_rows(table: RunTable) -> dict[int, dict[str, Any]]:
    """Return by offset the rows that the lake is to hold of a table that has not been flushed."""
    flush = table.pending()
    if flush is None or flush.events is None:
        return {}
    return {row["offset"]: row for row in flush.events.to_dicts()}
