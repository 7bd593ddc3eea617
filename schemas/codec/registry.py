"""The Avro schemas in this package, by name, version and fingerprint."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from runfold.schemas.errors import SchemaError

_FILE_NAME = re.compile(r"^(?P<name>[a-z_]+)\.v(?P<version>[0-9]+)\.avsc$")


@dataclass(frozen=True, slots=True, eq=False)
class SchemaVersion:
    """One version of one schema.

    Shape: `fingerprint` is the CRC-64-AVRO of the canonical form, 8 bytes little-endian, as the
    single-object encoding writes it. `parsed` is what fastavro takes, without logical types:
    times stay whole microseconds, also those that no calendar has.
    Source: Apache Avro specification, "Single-object encoding" and "Schema Fingerprints".
    """

    name: str
    version: int
    definition: dict[str, Any]
    parsed: Any
    fingerprint: bytes

    @property
    def field_names(self) -> tuple[str, ...]:
        """The record's fields, in order."""
        return tuple(each["name"] for each in self.definition["fields"])


def avro_folder() -> Traversable:
    """Return the folder that holds the schema files and their examples."""
    return files("runfold.schemas") / "avro"


@cache
def schema_versions(name: str) -> tuple[SchemaVersion, ...]:
    """Return every version of schema `name`, oldest first."""
    found: list[SchemaVersion] = []
    for path in avro_folder().iterdir():
        match = _FILE_NAME.match(path.name)
        if match and match["name"] == name:
            found.append(_load(path, name, int(match["version"])))
    if not found:
        raise SchemaError(f"no schema file for {name!r} in schemas/avro")
    return tuple(sorted(found, key=lambda each: each.version))


def latest(name: str) -> SchemaVersion:
    """Return the newest version of schema `name`: the one that is written."""
    return schema_versions(name)[-1]


@cache
def by_fingerprint(name: str) -> dict[bytes, SchemaVersion]:
    """Return the versions of schema `name` by their fingerprint."""
    return {each.fingerprint: each for each in schema_versions(name)}


@cache
def schema_names() -> tuple[str, ...]:
    """Return the names of all schemas, sorted."""
    names = {m["name"] for path in avro_folder().iterdir() if (m := _FILE_NAME.match(path.name))}
    return tuple(sorted(names))


def _load(path: Traversable, name: str, version: int) -> SchemaVersion:
    try:
        return schema_of(json.loads(path.read_text("utf-8")), name, version)
    except (ValueError, fastavro.schema.SchemaParseException) as error:
        raise SchemaError(f"schemas/avro/{path.name}: {error}") from error


def schema_of(definition: dict[str, Any], name: str, version: int) -> SchemaVersion:
    """Return a schema that is none of this package's files.

    Raises: ValueError, SchemaParseException of fastavro.
    """
    parsed = fastavro.parse_schema(_without_logical_types(definition))
    crc = fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO")
    return SchemaVersion(name, version, definition, parsed, bytes.fromhex(crc))


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if key != "logicalType"}
        return {key: _without_logical_types(value) for key, value in kept.items()}
    return [_without_logical_types(each) for each in node] if isinstance(node, list) else node
