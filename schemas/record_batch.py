"""A batch of records as it came from one partition of the log, in columns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runfold.schemas.offsets import LogPartition, OffsetRange

Headers = Sequence[tuple[str, bytes | None]]
"""The headers of one record, by name, in their order; a name may come twice."""


def no_headers(row: int) -> Headers:
    """Return none, for any row."""
    del row
    return ()


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition.

    Shape: n >= 1 records; the lists are as long as each other; offsets strictly increasing, gaps
    normal. `position` is where the reader stood before: offsets from `position` up to the first
    record hold no record. `covers` is therefore all that this batch accounts for. `headers_of`
    gives the headers of a row; it is asked for those of rejected records alone.
    Units: `timestamps_ms` milliseconds since 1970 UTC, set by the log.
    """

    log: LogPartition
    position: int
    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers_of: Callable[[int], Headers] = field(default=no_headers, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def covers(self) -> OffsetRange:
        """The offsets that this batch accounts for."""
        return OffsetRange(self.position, self.offsets[-1])

    def from_offset(self, first: int) -> RecordBatch | None:
        """Return the part from offset `first` on, None where nothing is left."""
        if first <= self.position:
            return self
        at = next((i for i, offset in enumerate(self.offsets) if offset >= first), None)
        if at is None:
            return None
        return RecordBatch(
            self.log,
            first,
            self.offsets[at:],
            self.timestamps_ms[at:],
            self.keys[at:],
            self.values[at:],
            lambda row: self.headers_of(at + row),
        )

    def until_offset(self, end: int) -> RecordBatch | None:
        """Return the part before offset `end`, None where there is none."""
        count = bisect_left(self.offsets, end)
        if count in (0, len(self)):
            return self if count else None
        return RecordBatch(
            self.log,
            self.position,
            self.offsets[:count],
            self.timestamps_ms[:count],
            self.keys[:count],
            self.values[:count],
            self.headers_of,
        )
