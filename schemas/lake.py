"""The lake as the worker sees it: what crosses from `processors` to `sinks`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.past_runs import PastRuns
from runfold.schemas.run_state import RunState

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class LogDescription:
    """One log: a topic, by name and by Kafka's id, and how many partitions it has."""

    topic_id: str
    topic: str
    partitions: int


@dataclass(frozen=True, slots=True)
class FlushCounts:
    """What became of the records of a range: `records` is the sum of the next three.

    `lost` records were gone from the log before the lake had them, which an operator has accepted;
    `expired` ones were in the lake and removed by age, `erased` ones for their subject.
    """

    records: int = 0
    events: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    lost: int = 0
    expired: int = 0
    erased: int = 0

    def __add__(self, other: FlushCounts) -> FlushCounts:
        return FlushCounts(
            self.records + other.records,
            self.events + other.events,
            self.duplicates + other.duplicates,
            self.dead_letters + other.dead_letters,
            self.lost + other.lost,
            self.expired + other.expired,
            self.erased + other.erased,
        )

    def __sub__(self, other: FlushCounts) -> FlushCounts:
        return FlushCounts(
            self.records - other.records,
            self.events - other.events,
            self.duplicates - other.duplicates,
            self.dead_letters - other.dead_letters,
            self.lost - other.lost,
            self.expired - other.expired,
            self.erased - other.erased,
        )


@dataclass(frozen=True, slots=True)
class CompactionCounts:
    """What was done to the files of a lake; merged files are there until they are removed."""

    merged_files: int = 0
    merged_bytes: int = 0
    written_files: int = 0
    written_bytes: int = 0
    removed_files: int = 0
    removed_bytes: int = 0

    def __add__(self, other: CompactionCounts) -> CompactionCounts:
        return CompactionCounts(
            self.merged_files + other.merged_files,
            self.merged_bytes + other.merged_bytes,
            self.written_files + other.written_files,
            self.written_bytes + other.written_bytes,
            self.removed_files + other.removed_files,
            self.removed_bytes + other.removed_bytes,
        )


@dataclass(frozen=True, slots=True)
class Flush:
    """All that one worker derived from one range of one partition.

    Shape: `events` has the columns of `lake_event_schema`, offsets strictly increasing inside
    `range` (duplicates are dropped, dead letters are rows), may be empty, and is None where the
    lake holds the events of the range already; `states` are the runs that changed, each as of
    `range.last`.
    Units: `recorded_at_us` is when the log took the last record of the range, microseconds since
    1970 UTC; it places a range that left no event row.
    """

    log: LogPartition
    range: OffsetRange
    events: pl.DataFrame | None
    states: list[RunState]
    counts: FlushCounts
    recorded_at_us: int


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a partition's derived data ends.

    Shape: `first_offset` is where the lake begins for this partition, `next_offset` the offset up
    to which the states reach, exclusive; `events_end` that of the events, which may be further on.
    All are None where the lake holds nothing. `runs` are those heard of before `next_offset`.
    """

    first_offset: int | None
    next_offset: int | None
    events_end: int | None
    runs: PastRuns


class LakeStore(Protocol):
    """Keeps what workers derive, by offset range. May block.

    Called from one thread at a time, but for `compact`, which another thread may call meanwhile.
    """

    def describe(self, log: LogDescription) -> LogDescription:
        """Note what `log` is where nothing has been noted yet; return what is noted.

        Raises: LakeUnavailable (retry).
        """

    def write(self, flush: Flush) -> None:
        """Make `flush` durable: events first, then states.

        Delivery: idempotent on the range; safe to repeat, and safe where another worker writes
        the same or an overlapping range, since both derive the same from the log.
        Raises: LakeUnavailable (retry), nothing written that a reader sees half of.
        """

    def resume(self, log: LogPartition) -> ResumePoint:
        """Return where `log` is to be continued, and which runs were heard of up to there.

        A file that is truncated, empty or of something else is set aside, and what it held counts
        as not there. Raises: LakeUnavailable (retry).
        """

    def states_of(self, log: LogPartition, runs: Mapping[str, int]) -> list[RunState]:
        """Return the newest states that the lake holds of `runs`, none of those it does not know.

        Shape: `runs` has for each run id where it was heard of last, which is where to look first.
        Raises: LakeUnavailable (retry); LakeCorrupt (retry) after setting a damaged file aside.
        """

    def events_of(self, log: LogPartition, offsets: OffsetRange) -> Iterator[pl.DataFrame]:
        """Yield the events of `offsets`, without dead letters, in log order, in portions.

        Shape: columns of `lake_event_schema`. Raises: as `states_of`, also in the middle;
        EventsExpired (halt) where some of them were removed by age.
        """

    def compact(
        self, log: LogPartition, *, stopped: Callable[[], bool] = lambda: False
    ) -> CompactionCounts:
        """Merge what is stored of `log` into few files; remove what was merged a while ago.

        Shape: nothing that is asked of the lake changes by it. It ends early, with part of it
        done, once `stopped` says so.
        Delivery: safe to repeat, to break off anywhere, and beside writers, readers and others
        that compact. A file that cannot be merged stays as it is.
        Raises: LakeUnavailable (retry).
        """
