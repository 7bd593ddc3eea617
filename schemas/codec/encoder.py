"""An Avro encoder for flat records whose fields are mostly absent.

A stretch of absent fields is one constant, and only the fields that are set are visited, by a plan
that records of the same fields share: a few microseconds where a general encoder walks all fifty
columns. fastavro checks it.
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


Slot = tuple[int, FieldWriter]
Step = tuple[bytes, str, FieldWriter]
"""The nulls before a field, its name, and what writes it."""
_MOST_PLANS = 1024


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
            self._slots[name] = (place, _writer_for(avro_type[-1] if nullable else avro_type))
            self._required += not nullable
        self._plans: dict[tuple[str, ...], tuple[list[Step], bytes]] = {}

    def __call__(self, record: Mapping[str, Any]) -> bytes:
        """Return the framed bytes of `record`.

        Shape: absent and None mean the same; a name that the schema does not have is an error.
        Raises: EventRejected (dead_letter) that names the field.
        """
        names = tuple([name for name, value in record.items() if value is not None])
        steps, tail = self._plans.get(names) or self._plan(names)
        try:
            parts = [nulls + write(record[name]) for nulls, name, write in steps]
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            raise _rejected(_first_wrong(record, steps)) from error
        return b"%b%b%b" % (self._header, b"".join(parts), tail)

    def _plan(self, names: tuple[str, ...]) -> tuple[list[Step], bytes]:
        """Return how records of these fields are written, with the nulls at their end."""
        wrong = [each for each in names if each not in self._slots]
        wrong += [each for each in list(self._slots)[: self._required] if each not in names]
        if wrong:
            raise _rejected(f"field {wrong[0]!r} is missing or unknown")
        steps: list[Step] = []
        at = 0
        for name in sorted(names, key=lambda each: self._slots[each][0]):
            place, write = self._slots[name]
            nulls = b"" if place < self._required else bytes(place - at) + b"\x02"
            steps.append((nulls, name, write))
            at = place + 1
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[names] = steps, bytes(len(self._slots) - at)
        return plan


def _first_wrong(record: Mapping[str, Any], steps: list[Step]) -> str:
    """Return the first field that cannot be written, and why."""
    for _, name, write in steps:
        try:
            write(record[name])
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            return f"field {name!r}: {error}"
    raise AssertionError("every field can be written")


def _writer_for(avro_type: Any) -> FieldWriter:
    kind = avro_type["type"] if isinstance(avro_type, dict) else avro_type
    try:
        return _WRITERS[kind]
    except (KeyError, TypeError) as error:
        raise SchemaError(f"the sparse encoder writes no {kind!r}") from error


def _rejected(message: str) -> EventRejected:
    return EventRejected(DeadLetterReason.BAD_BODY, message)
