"""The letters of a dead-letter topic without their bytes, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from runfold.schemas.errors import EventRejected
from runfold.schemas.kept_letter import (
    LetterState,
    RecordPlace,
    Resolution,
    read_letter,
    read_mark,
)
from runfold.schemas.record_batch import Headers

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LetterEntry:
    """A letter without its bytes.

    Shape: `kept_at` is its partition and offset in the dead-letter topic; `run_id` is what the
    record's key says; `resolutions` are in the order in which they were noted.
    """

    place: RecordPlace
    recorded_at: datetime
    reason: str
    message: str
    run_id: str | None
    value_bytes: int | None
    kept_at: tuple[int, int]
    resolutions: tuple[Resolution, ...] = ()

    @property
    def state(self) -> LetterState:
        """What was done last."""
        return self.resolutions[-1].state if self.resolutions else LetterState.OPEN


class DeadLetterIndex:
    """Built from the records of a dead-letter topic, in their order."""

    def __init__(self) -> None:
        self.unreadable: list[tuple[int, int]] = []
        """Partitions and offsets of what is neither a letter nor a mark."""
        self._letters: dict[RecordPlace, LetterEntry] = {}
        self._resolutions: dict[RecordPlace, tuple[Resolution, ...]] = {}

    def add_letter(self, kept_at: tuple[int, int], value: bytes) -> None:
        """Take a record with a value; a letter that was sent again after a crash counts once."""
        try:
            letter = read_letter(value)
            recorded_at = _EPOCH + timedelta(microseconds=letter.recorded_at)
        except (EventRejected, OverflowError):
            self.unreadable.append(kept_at)
            return
        entry = LetterEntry(
            letter.place,
            recorded_at,
            letter.reason,
            letter.message,
            None if letter.key is None else letter.key.decode(errors="replace"),
            None if letter.value is None else len(letter.value),
            kept_at,
        )
        self._letters.setdefault(letter.place, entry)

    def add_mark(self, kept_at: tuple[int, int], key: bytes | None, headers: Headers) -> None:
        """Take a record without a value."""
        try:
            place, resolution = read_mark(key, headers)
        except ValueError:
            self.unreadable.append(kept_at)
            return
        self._resolutions[place] = (*self._resolutions.get(place, ()), resolution)

    def entries(self) -> list[LetterEntry]:
        """Return every letter, newest first."""
        found = (
            replace(entry, resolutions=self._resolutions.get(place, ()))
            for place, entry in self._letters.items()
        )
        return sorted(found, key=lambda each: (each.recorded_at, each.place), reverse=True)
