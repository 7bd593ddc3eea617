"""Whether data of one schema version can be read by another.

Source: Apache Avro specification, "Schema Resolution". Every version of a schema must read every
other, older and newer, so that producers and readers may be upgraded in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

from runfold.schemas.codec.registry import schema_names, schema_versions

_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def incompatible_versions() -> list[str]:
    """Return a sentence for everything that keeps a schema version from reading another one."""
    return [
        f"{name}.v{reader.version} cannot read {name}.v{writer.version}: {problem}"
        for name in schema_names()
        for reader, writer in permutations(schema_versions(name), 2)
        for problem in incompatibilities(reader.definition, writer.definition)
    ]


def incompatibilities(reader: Any, writer: Any, place: str = "") -> list[str]:
    """Return what keeps `reader` from reading what `writer` wrote, each with its place."""
    return list(_problems(reader, writer, place))


def _problems(reader: Any, writer: Any, place: str) -> Iterator[str]:
    if isinstance(writer, list):
        for branch in writer:
            yield from _problems(reader, branch, place)
        return
    if isinstance(reader, list):
        tried = [list(_problems(branch, writer, place)) for branch in reader]
        if all(tried):
            yield f"{place or 'the schema'}: no branch takes {_name(writer)}"
        return
    kind, written = _name(reader), _name(writer)
    if kind != written:
        if kind not in _PROMOTIONS.get(written, ()):
            yield f"{place or 'the schema'}: {written} is not read as {kind}"
    elif kind == "record":
        yield from _record_problems(reader, writer, place)
    elif kind == "array":
        yield from _problems(reader["items"], writer["items"], f"{place}[]")
    elif kind == "map":
        yield from _problems(reader["values"], writer["values"], f"{place}{{}}")
    elif kind in {"fixed", "enum"} and reader != writer:
        yield f"{place}: {kind} {reader['name']} differs"


def _record_problems(reader: Any, writer: Any, place: str) -> Iterator[str]:
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        inside = f"{place}.{field['name']}".lstrip(".")
        if field["name"] in written:
            yield from _problems(field["type"], written[field["name"]]["type"], inside)
        elif "default" not in field:
            yield f"{inside}: is not written and has no default"


def _name(schema: Any) -> str:
    while isinstance(schema, dict):
        schema = schema["type"]
    return str(schema)
