"""What becomes of events that the journal cannot take: kept in memory, then only counted."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from runfold.schemas.event_ids import EventIdSet

_MAX_RUNS = 10_000

DroppedIds = dict[str, EventIdSet]
"""The ids of events that are lost, by their run."""


class WaitingLine(NamedTuple):
    """A line of the journal's format that waits in memory, and whose event it is."""

    line: bytes
    run_id: str
    producer: str
    sequence: int


class Overflow:
    """A queue bounded in bytes; what does not fit is remembered by its id, to be declared.

    Not thread-safe: the caller holds a lock.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.taken_in = 0
        self.dropped_count = 0
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._lines: deque[WaitingLine] = deque()
        self._dropped: DroppedIds = {}

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def first_number(self) -> int:
        """The number of the first line that waits, counted from 0 since the process began."""
        return self.taken_in - len(self._lines)

    @property
    def has_dropped(self) -> bool:
        """Whether ids of dropped events wait to be declared."""
        return bool(self._dropped)

    def keep(self, waiting: WaitingLine) -> None:
        """Queue a line, or drop it where memory is used up."""
        if self._size_bytes + len(waiting.line) > self._limit_bytes:
            self.drop(waiting)
            return
        self._lines.append(waiting)
        self._size_bytes += len(waiting.line)
        self.taken_in += 1

    def drop(self, waiting: WaitingLine) -> None:
        """Remember that an event is lost. Beyond 10,000 runs only their number is."""
        self.dropped_count += 1
        ids = self._dropped.get(waiting.run_id)
        if ids is None:
            if len(self._dropped) >= _MAX_RUNS:
                return
            ids = self._dropped[waiting.run_id] = EventIdSet()
        ids.add_sequence(waiting.producer, waiting.sequence)

    def peek(self, limit: int) -> list[WaitingLine]:
        """Return up to `limit` lines, oldest first; they stay until `forget`."""
        return [self._lines[at] for at in range(min(limit, len(self._lines)))]

    def forget(self, number: int) -> None:
        """Remove the oldest `number` lines: they are in the log."""
        for _ in range(number):
            self._size_bytes -= len(self._lines.popleft().line)

    def take_dropped(self) -> DroppedIds:
        """Return the ids of what was dropped since the last call."""
        dropped, self._dropped = self._dropped, {}
        return dropped
