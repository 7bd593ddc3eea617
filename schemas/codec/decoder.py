"""One framed record at a time."""

from __future__ import annotations

import io
from typing import Any

import fastavro

from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.codec.registry import SchemaVersion, latest
from runfold.schemas.errors import EventRejected
from runfold.schemas.event import Event
from runfold.schemas.vocabulary import DeadLetterReason


def decode_body(body: bytes, writer: SchemaVersion, reader: SchemaVersion) -> dict[str, Any]:
    """Return the record that `writer` wrote, in the fields of `reader`.

    Raises: EventRejected with `bad_body`, also where bytes are left over.
    """
    stream = io.BytesIO(body)
    try:
        decoded = fastavro.schemaless_reader(stream, writer.parsed, reader.parsed)
    except (
        ValueError,
        IndexError,
        EOFError,
        OverflowError,
        TypeError,
        MemoryError,
        KeyError,
    ) as error:
        problem = str(error) or type(error).__name__
        raise EventRejected(DeadLetterReason.BAD_BODY, f"not a {writer.name}: {problem}") from error
    if stream.tell() != len(body):
        left = len(body) - stream.tell()
        raise EventRejected(DeadLetterReason.BAD_BODY, f"{left} bytes left over after the record")
    if not isinstance(decoded, dict):
        raise EventRejected(DeadLetterReason.BAD_BODY, f"a {type(decoded).__name__}, not a record")
    return decoded


def decode(value: bytes, framing: Framing) -> dict[str, Any]:
    """Return the framed record `value` in the fields of the newest schema of `framing`.

    Raises: EventRejected with `not_avro`, `unknown_schema` or `bad_body`.
    """
    size = framing.header_bytes(value)
    writer = framing.writer_of(value[:size])
    return decode_body(value[size:], writer, latest(framing.name))


def decode_event(value: bytes, framing: Framing = EVENT_FRAMING) -> Event:
    """Return the event that `value` holds. Raises: EventRejected."""
    return Event(**decode(value, framing))
