"""A dead letter as its topic keeps it, and the mark that says how one was resolved.

A record of the topic with a value is a letter. One with the key of a letter and no value is a
mark: its headers say what was done.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import fastavro

from runfold.schemas.codec.decoder import decode
from runfold.schemas.codec.framing import Framing, written_header
from runfold.schemas.codec.registry import latest
from runfold.schemas.record_batch import Headers

_FRAMING = Framing("dead_letter")
_RESOLVED, _AT, _EVENT_ID, _TOPIC_ID, _BY = (
    f"runfold.{name}" for name in ("resolved", "at", "event_id", "topic_id", "by")
)


class LetterState(StrEnum):
    """Whether something was done about a letter."""

    OPEN = "open"
    REDRIVEN = "redriven"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, order=True)
class RecordPlace:
    """Where the record of a letter is in the log of events; a topic made anew is another log."""

    topic: str
    topic_id: str
    partition: int
    offset: int

    @property
    def key(self) -> str:
        """The key that the letter has in its topic."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def event_id(self) -> str:
        """The id of the event that a record without one becomes: the same each time."""
        return f"dead-letter:{self.topic_id}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter with the bytes of its record.

    Units: `recorded_at` microseconds since 1970 UTC, when the log of events took the record.
    """

    place: RecordPlace
    recorded_at: int
    reason: str
    message: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a letter was sent again: as it was or repaired `by` what, and as which event."""

    state: LetterState
    at: datetime
    event_id: str
    by: str | None = None


def write_letter(letter: KeptLetter) -> bytes:
    """Return the value that `letter` has in its topic."""
    place = letter.place
    record = {
        "topic": place.topic,
        "topic_id": place.topic_id,
        "partition": place.partition,
        "offset": place.offset,
        "recorded_at": letter.recorded_at,
        "reason": letter.reason,
        "message": letter.message,
        "key": letter.key,
        "value": letter.value,
        "headers": [{"name": name, "value": value} for name, value in letter.headers],
    }
    stream = io.BytesIO()
    stream.write(written_header("dead_letter"))
    fastavro.schemaless_writer(stream, latest("dead_letter").parsed, record)
    return stream.getvalue()


def read_letter(value: bytes) -> KeptLetter:
    """Return the letter that a record of the topic holds. Raises: EventRejected."""
    fields: dict[str, Any] = decode(value, _FRAMING)
    place = RecordPlace(*(fields.pop(name) for name in RecordPlace.__slots__))
    headers = tuple((each["name"], each["value"]) for each in fields.pop("headers"))
    return KeptLetter(place, headers=headers, **fields)


def write_mark(place: RecordPlace, resolution: Resolution) -> Headers:
    """Return the headers of the mark that says `resolution` of the letter of `place`."""
    texts = {
        _RESOLVED: resolution.state.value,
        _AT: resolution.at.isoformat(),
        _EVENT_ID: resolution.event_id,
        _TOPIC_ID: place.topic_id,
        _BY: resolution.by,
    }
    return [(name, text.encode()) for name, text in texts.items() if text is not None]


def read_mark(key: bytes | None, headers: Headers) -> tuple[RecordPlace, Resolution]:
    """Return the letter that a mark is about and what it says. Raises: ValueError."""
    texts = {name: (value or b"").decode() for name, value in headers}
    topic, partition, offset = (key or b"").decode().rsplit("/", 2)
    if not texts.keys() >= {_RESOLVED, _AT, _EVENT_ID, _TOPIC_ID}:
        raise ValueError("a header of a mark is missing")
    place = RecordPlace(topic, texts[_TOPIC_ID], int(partition), int(offset))
    state, at = LetterState(texts[_RESOLVED]), datetime.fromisoformat(texts[_AT])
    return place, Resolution(state, at, texts[_EVENT_ID], texts.get(_BY))
