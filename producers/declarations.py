"""Declaring what was dropped: for each run an event that names the ids that will never come.

Losses are kept beside the journal in its own format until the log has acknowledged them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import orjson

from runfold.producers.debug import explain
from runfold.producers.journal_folder import DROPPED
from runfold.producers.overflow import DroppedIds
from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.vocabulary import DROPPED_EVENT, EventType

_RANGES_PER_EVENT = 10_000


class Declarations:
    """The drops of one journal that are still to be declared; in memory where the disk is full."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / DROPPED
        try:
            self._lines = self._file.read_bytes().splitlines()
        except OSError:
            self._lines = []

    def declare(self, dropped: DroppedIds, *, reason: str) -> None:
        """Remember the loss of `dropped` until it is forgotten."""
        self._lines += _dropped_events(dropped, reason)
        self._save()

    def pending(self) -> list[bytes]:
        """Return the events to publish, as lines of the journal's format."""
        return self._lines.copy()

    def forget(self, number: int) -> None:
        """Let go of the first `number` pending ones: the log has them."""
        del self._lines[:number]
        self._save()

    def _save(self) -> None:
        temporary = self._file.with_suffix(".new")
        try:
            if self._lines:
                temporary.write_bytes(b"".join(each + b"\n" for each in self._lines))
                temporary.replace(self._file)
            else:
                self._file.unlink(missing_ok=True)
        except OSError as error:
            explain("drops are declared from memory only", error)


def ids_in(lines: list[bytes]) -> tuple[DroppedIds, int]:
    """Return the ids of the events in journal lines, and how many lines do not tell theirs."""
    found: DroppedIds = {}
    unreadable = 0
    for line in lines:
        try:
            event = orjson.loads(line)
            found.setdefault(event["run_id"], EventIdSet()).add(event["event_id"])
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable += 1
    return found, unreadable


def _dropped_events(dropped: DroppedIds, reason: str) -> Iterator[bytes]:
    for run_id, ids in dropped.items():
        for producer in ids.ranges:
            pieces = [[each.first, each.last] for each in ids.ranges_of(producer)]
            for at in range(0, len(pieces), _RANGES_PER_EVENT):
                ranges = pieces[at : at + _RANGES_PER_EVENT]
                yield _dropped_event(run_id, producer, ranges, reason)


def _dropped_event(run_id: str, producer: str, ranges: list[list[int]], reason: str) -> bytes:
    # The id says what is declared, so that declaring it again is the same event.
    digest = blake2b(orjson.dumps(ranges), digest_size=8).hexdigest()
    return orjson.dumps(
        {
            "event_id": f"dropped:{producer}:{ranges[0][0]}-{ranges[-1][1]}:{digest}",
            "run_id": run_id,
            "event_type": EventType.CUSTOM.value,
            "occurred_at": time.time_ns() // 1000,
            "name": DROPPED_EVENT,
            "attributes": {
                "producer": producer,
                "ranges": ranges,
                "events": sum(last - first + 1 for first, last in ranges),
                "reason": reason,
            },
        }
    )
