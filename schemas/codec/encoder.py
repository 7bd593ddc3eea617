"""An Avro encoder for flat records whose fields are mostly absent.

A stretch of absent fields is one constant, and only the fields that are set are visited, which
costs a few microseconds where a general encoder walks all fifty columns. fastavro checks it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from runfold.schemas.codec.framing import single_object_header
from runfold.schemas.codec.registry import SchemaVersion
from runfold.schemas.errors import EventRejected, SchemaError
from runfold.schemas.vocabulary import DeadLetterReason

_LONG_MIN, _LONG_MAX = -(1 << 63), (1 << 63) - 1
_pack_double = struct.Struct("<d").pack

FieldWriter = Callable[[Any], bytes]


def encode_long(number: int) -> bytes:
    """Return `number` as an Avro long: zigzag, then seven bits a byte, least first."""
    if not _LONG_MIN <= number <= _LONG_MAX:
        raise OverflowError(f"{number} does not fit into 64 bits")
    rest = (number << 1) ^ (number >> 63)
    if rest < 0x80:
        return _ONE_BYTE[rest]
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_ONE_BYTE = [bytes((n,)) for n in range(0x80)]
_SHORT_LENGTHS = [encode_long(n) for n in range(4096)]


def _string(value: str) -> bytes:
    if value.__class__ is not str:
        raise TypeError(f"a string is needed, not {type(value).__name__}")
    text = value.encode()
    size = len(text)
    return (_SHORT_LENGTHS[size] if size < 4096 else encode_long(size)) + text


def _long(value: int) -> bytes:
    if value.__class__ is not int:
        raise TypeError(f"a whole number is needed, not {type(value).__name__}")
    return encode_long(value)


def _double(value: float) -> bytes:
    if value.__class__ is not float and value.__class__ is not int:
        raise TypeError(f"a number is needed, not {type(value).__name__}")
    return _pack_double(value)


_WRITERS: dict[str, FieldWriter] = {"string": _string, "long": _long, "double": _double}


Slot = tuple[int, str, FieldWriter]


class SparseEncoder:
    """Encodes records of one flat schema, framed by `header`.

    Shape: the fields of the schema are first some required ones, then nullable ones with a
    default of null; strings, longs and doubles.
    """

    def __init__(self, schema: SchemaVersion, header: bytes | None = None) -> None:
        self._header = single_object_header(schema) if header is None else header
        self._slots: dict[str, Slot] = {}
        self._required = 0
        for place, each in enumerate(schema.definition["fields"]):
            name, avro_type = each["name"], each["type"]
            nullable = isinstance(avro_type, list)
            if (nullable and avro_type[0] != "null") or (not nullable and self._required < place):
                raise SchemaError(f"{schema.name}.v{schema.version}: {name!r} is not sparse")
            self._slots[name] = (place, name, _writer_for(avro_type[-1] if nullable else avro_type))
            self._required += not nullable
        self._nulls = [b"\x00" * n + b"\x02" for n in range(len(self._slots) + 1)]

    def __call__(self, record: Mapping[str, Any]) -> bytes:
        """Return the framed bytes of `record`.

        Shape: absent and None mean the same; a name that the schema does not have is an error.
        Raises: EventRejected (dead_letter) that names the field.
        """
        slots, nulls, required = self._slots, self._nulls, self._required
        parts = [self._header]
        name: str | None = None
        try:
            filled = [(slots[name], value) for name, value in record.items() if value is not None]
            filled.sort(key=_place)
            if len(filled) < required or filled[required - 1][0][0] != required - 1:
                raise KeyError(self._first_missing(record))
            at = required
            for (place, name, write), value in filled:  # noqa: B007 - the error names it
                if place >= required:
                    parts.append(nulls[place - at])
                    at = place + 1
                parts.append(write(value))
            parts.append(bytes(len(slots) - at))
        except KeyError as error:
            raise _rejected(f"field {error} is missing or unknown") from error
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            raise _rejected(f"field {name!r}: {error}") from error
        return b"".join(parts)

    def _first_missing(self, record: Mapping[str, Any]) -> str:
        return next(
            name
            for name, (place, _, _) in self._slots.items()
            if place < self._required and record.get(name) is None
        )


def _place(filled: tuple[Slot, Any]) -> int:
    return filled[0][0]


def _writer_for(avro_type: Any) -> FieldWriter:
    kind = avro_type["type"] if isinstance(avro_type, dict) else avro_type
    try:
        return _WRITERS[kind]
    except (KeyError, TypeError) as error:
        raise SchemaError(f"the sparse encoder writes no {kind!r}") from error


def _rejected(message: str) -> EventRejected:
    return EventRejected(DeadLetterReason.BAD_BODY, message)
