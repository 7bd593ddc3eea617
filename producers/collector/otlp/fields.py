"""What events made of OTLP have in common: where they come from, and values that the log takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from runfold.producers.coercion import LONG_MAX, LONG_MIN, coerced
from runfold.producers.collector.otlp.items import Source
from runfold.producers.event_line import FIELD_TYPES
from runfold.producers.genai_mapping import resource_columns
from runfold.producers.tame import ALTERED, LONGEST_TEXT, Tamer, tame_id
from runfold.schemas.vocabulary import EventType

Fields = dict[str, Any]
"""The fields of one event."""

_MOST_BYTES = 768 * 1024
"""Of attributes; a worker decodes events of up to 1 MiB, and the columns need room as well."""
_SHORTER_TEXTS = (LONGEST_TEXT, 8 * 1024, 1024, 100)
_LONGEST_COLUMN = LONGEST_TEXT
_TEXTS = frozenset(name for name, wanted in FIELD_TYPES.items() if wanted is str)


class Origin(NamedTuple):
    """What a source says of all its events.

    Shape: `columns` are fields of `Event`; `run_id` is the run of what belongs to no other.
    """

    source: Source
    columns: Fields
    run_id: str


def origin_of(source: Source) -> Origin:
    """Return what a source says of its events."""
    resource = source.resource
    columns = resource_columns(resource)
    name = first_text(resource, "project.name", "service.namespace", "service.name")
    columns = {
        **columns,
        "project": name,
        "session_id": first_text(resource, "session.id"),
        "user_id": first_text(resource, "user.id", "enduser.id"),
    }
    columns = {name: value[:_LONGEST_COLUMN] for name, value in columns.items() if value}
    return Origin(source, columns, _process_of(source, columns))


def _process_of(source: Source, columns: Fields) -> str:
    """Return the name of a process: that of its session, or one made of all that it says."""
    if "session_id" in columns:
        return tame_id(columns["session_id"])
    said = repr(sorted(source.resource.items(), key=str)).encode("utf-8", "backslashreplace")
    service = columns.get("agent_name", "unknown")[:100]
    return f"otlp-{service}-{blake2b(said, digest_size=6).hexdigest()}"


def first_text(attributes: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these attributes that is a text and not empty."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def taken_text(attributes: Fields, *names: str) -> str | None:
    """Take the first of these attributes that is a text and not empty out of `attributes`."""
    for name in names:
        if isinstance(attributes.get(name), str) and attributes[name]:
            return str(attributes.pop(name))
    return None


def with_columns(event: Fields, columns: Fields, attributes: Fields) -> Fields:
    """Return an event with `columns`, and with `attributes` as text.

    Shape: a column whose value is of another type is coerced where nothing is lost by it, else it
    moves into the attributes.
    """
    altered: dict[str, str] = {}
    for name, value in columns.items():
        if value.__class__ is str and len(value) <= _LONGEST_COLUMN and name in _TEXTS:
            event[name] = value
        elif value is not None:
            _put(event, name, value, attributes, altered)
    if altered:
        attributes[ALTERED] = altered
    if attributes:
        event["attributes"] = as_text(attributes)
    return event


def _put(event: Fields, name: str, value: Any, attributes: Fields, altered: dict[str, str]) -> None:
    """Set a column by a value that may not fit it."""
    wanted = FIELD_TYPES[name]
    kept = _fitting(value, wanted)
    if kept is None:
        attributes[name] = value
        altered[name] = f"not_{wanted.__name__}"
    elif wanted is str and len(kept) > _LONGEST_COLUMN:
        event[name] = kept[:_LONGEST_COLUMN]
        altered[name] = "truncated"
    else:
        event[name] = kept


def _fitting(value: Any, wanted: type) -> Any:
    if value.__class__ is wanted is float:
        return value if math.isfinite(value) else None
    if value.__class__ is wanted is int:
        return value if LONG_MIN <= value <= LONG_MAX else None
    return coerced(value, wanted)


def as_text(attributes: Fields) -> str:
    """Return attributes as JSON, with values changed that JSON or the log would not take."""
    try:
        body = orjson.dumps(attributes)
    except TypeError:
        body = b""
    # A null may stand for NaN, which orjson writes so
    if body and len(body) <= _MOST_BYTES and b"null" not in body:
        return body.decode()
    for longest in _SHORTER_TEXTS:
        body = _tamed(attributes, longest)
        if len(body) <= _MOST_BYTES:
            return body.decode()
    preview = {"preview": body[:LONGEST_TEXT].decode("utf-8", "replace")}
    return orjson.dumps({**preview, ALTERED: {"attributes": "too_large"}}).decode()


def _tamed(attributes: Fields, longest_text: int) -> bytes:
    tamer = Tamer(longest_text)
    tamed = tamer.tame(attributes, "")
    if tamer.changes:
        known = tamed.get(ALTERED)
        tamed[ALTERED] = {**(known if isinstance(known, dict) else {}), **tamer.changes}
    return orjson.dumps(tamed)


def run_started(origin: Origin, run_id: str, at: int, **columns: Any) -> Fields:
    """Return the start of a run that is known by its sender only; told again it is the same."""
    event = {
        "event_id": f"otlp-{run_id}-started",
        "run_id": run_id,
        "event_type": EventType.RUN_STARTED.value,
        "occurred_at": at,
    }
    return with_columns(event, {**origin.columns, **columns}, {})
