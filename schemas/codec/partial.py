"""As much of a damaged record as can be read, for the person who is to mend it."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import fastavro
import orjson

from runfold.schemas.codec.framing import EVENT_FRAMING, SINGLE_OBJECT_MAGIC, Framing
from runfold.schemas.codec.registry import SchemaVersion
from runfold.schemas.errors import EventRejected

_UNREADABLE = (ValueError, IndexError, EOFError, OverflowError, MemoryError, struct.error)


@dataclass(frozen=True, slots=True)
class Readable:
    """What could be read of a record's value.

    Shape: `event` has the set fields of an Avro event, in order, or whatever JSON it was, or is
    None; `ends_at` names the field from which on it could not.
    """

    event: Any
    ends_at: str | None = None


def read_what_can_be(value: bytes | None, framing: Framing = EVENT_FRAMING) -> Readable:
    """Return what `value` holds: an event or its first fields, or JSON.

    Raises: RegistryUnavailable (retry).
    """
    if not value:
        return Readable(None)
    size = framing.header_bytes(value)
    try:
        writer = framing.writer_of(value[:size])
    except EventRejected:
        return Readable(None if value.startswith(SINGLE_OBJECT_MAGIC) else _json(value))
    return _first_fields(value[size:], writer)


def _first_fields(body: bytes, writer: SchemaVersion) -> Readable:
    stream = io.BytesIO(body)
    event: dict[str, Any] = {}
    for field in writer.parsed["fields"]:
        try:
            content = fastavro.schemaless_reader(stream, field["type"], None)
        except _UNREADABLE:
            return Readable(event, field["name"])
        if content is not None:
            event[field["name"]] = content
    return Readable(event)


def _json(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
