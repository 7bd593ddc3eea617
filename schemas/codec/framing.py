"""How a Kafka value says which schema it was written with.

Source: Apache Avro specification, "Single-object encoding" (`C3 01` + CRC-64-AVRO fingerprint),
and the Confluent wire format (`00` + four-byte schema id).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runfold.schemas.codec.registry import SchemaVersion, by_fingerprint, latest
from runfold.schemas.errors import EventRejected
from runfold.schemas.vocabulary import DeadLetterReason

SINGLE_OBJECT_MAGIC = b"\xc3\x01"
SINGLE_OBJECT_HEADER_BYTES = 10
CONFLUENT_MAGIC = b"\x00"
CONFLUENT_HEADER_BYTES = 5


def single_object_header(schema: SchemaVersion) -> bytes:
    """Return the ten bytes before a body that `schema` wrote."""
    return SINGLE_OBJECT_MAGIC + schema.fingerprint


def confluent_header(schema_id: int) -> bytes:
    """Return the five bytes before a body that the registry's schema `schema_id` wrote."""
    return CONFLUENT_MAGIC + schema_id.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Framing:
    """Which writer schemas a reader of schema `name` knows.

    Shape: `confluent_ids` maps the ids of a schema registry; empty where none is configured.
    """

    name: str
    confluent_ids: Mapping[int, SchemaVersion] = field(default_factory=dict)

    def header_bytes(self, value: bytes) -> int:
        """Return how long the header of `value` is."""
        return (
            CONFLUENT_HEADER_BYTES if value[:1] == CONFLUENT_MAGIC else SINGLE_OBJECT_HEADER_BYTES
        )

    def writer_of(self, header: bytes) -> SchemaVersion:
        """Return the schema that a header names.

        Raises: EventRejected with `not_avro` or `unknown_schema`.
        """
        if header[:2] == SINGLE_OBJECT_MAGIC and len(header) == SINGLE_OBJECT_HEADER_BYTES:
            return self._known(by_fingerprint(self.name).get(header[2:]), header[2:].hex())
        if header[:1] == CONFLUENT_MAGIC and len(header) == CONFLUENT_HEADER_BYTES:
            schema_id = int.from_bytes(header[1:], "big")
            return self._known(self.confluent_ids.get(schema_id), f"registry id {schema_id}")
        raise EventRejected(
            DeadLetterReason.NOT_AVRO,
            f"the value begins with {header[:4].hex() or 'nothing'}, neither c301 nor 00",
        )

    def _known(self, found: SchemaVersion | None, named: str) -> SchemaVersion:
        if found is None:
            raise EventRejected(
                DeadLetterReason.UNKNOWN_SCHEMA,
                f"no version of schema {self.name!r} has fingerprint {named}",
            )
        return found


EVENT_FRAMING = Framing("event")


def written_header(name: str) -> bytes:
    """Return the header that goes before what is written today."""
    return single_object_header(latest(name))
