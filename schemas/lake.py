"""The lake as the worker sees it: what crosses from `processors` to `sinks`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.run_state import RunState

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class FlushCounts:
    """What became of the records of a range: `records` is the sum of the other three."""

    records: int = 0
    events: int = 0
    duplicates: int = 0
    dead_letters: int = 0

    def __add__(self, other: FlushCounts) -> FlushCounts:
        return FlushCounts(
            self.records + other.records,
            self.events + other.events,
            self.duplicates + other.duplicates,
            self.dead_letters + other.dead_letters,
        )

    def __sub__(self, other: FlushCounts) -> FlushCounts:
        return FlushCounts(
            self.records - other.records,
            self.events - other.events,
            self.duplicates - other.duplicates,
            self.dead_letters - other.dead_letters,
        )


@dataclass(frozen=True, slots=True)
class Flush:
    """All that one worker derived from one range of one partition.

    Shape: `events` has the columns of `lake_event_schema`, offsets strictly increasing inside
    `range` (duplicates are dropped, dead letters are rows), and may be empty; `states` are the
    runs that changed, each as of `range.last`.
    Units: `recorded_at_us` is when the log took the last record of the range, microseconds since
    1970 UTC; it places a range that left no event row.
    """

    log: LogPartition
    range: OffsetRange
    events: pl.DataFrame
    states: list[RunState]
    counts: FlushCounts
    recorded_at_us: int


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a partition's derived data ends.

    Shape: `first_offset` is where the lake begins for this partition, `next_offset` the offset to
    go on at; both None where it holds nothing. The states are those of all offsets before it.
    """

    first_offset: int | None
    next_offset: int | None
    states: Iterator[RunState]


class LakeStore(Protocol):
    """Keeps what workers derive, by offset range. Called from one thread at a time; may block."""

    def write(self, flush: Flush) -> None:
        """Make `flush` durable: events first, then states.

        Delivery: idempotent on the range; safe to repeat, and safe where another worker writes
        the same or an overlapping range, since both derive the same from the log.
        Raises: LakeUnavailable (retry), nothing written that a reader sees half of.
        """

    def resume(self, log: LogPartition) -> ResumePoint:
        """Return where `log` is to be continued, and the states up to there.

        Raises: LakeUnavailable (retry), LakeCorrupt (halt) naming the file.
        """
