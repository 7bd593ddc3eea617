"""The text of one event in the journal, made so that it always encodes as Avro later.

The usual event, known fields with values of their type, is checked and dumped in a microsecond.
All others take `careful_fields`.
"""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any

import orjson

from runfold.producers.careful_fields import careful_fields
from runfold.producers.coercion import LONG_MAX, LONG_MIN
from runfold.producers.tame import LONGEST_TEXT, is_id
from runfold.schemas.event import REQUIRED_EVENT_FIELDS, Event
from runfold.schemas.vocabulary import EventType

_TYPES = {"str": str, "int": int, "float": float}
FIELD_TYPES: dict[str, type] = {
    field.name: _TYPES[str(field.type).split(" ")[0]]
    for field in fields(Event)
    if field.name not in (*REQUIRED_EVENT_FIELDS, "attributes")
}
"""What a call may set, and the type that it has in the log."""

_FLOAT_MAX = 1.7976931348623157e308
_KNOWN_NAMES = 1024
_type_parts: dict[str, bytes] = {}
_agent_parts: dict[str | None, bytes] = {}


def line_prefix(run_id: str, producer: str, agent_name: str | None) -> bytes:
    """Return what every line of a run begins with, up to the sequence in its event id.

    Raises: TypeError for an agent's name that is none.
    """
    agent = _agent_parts.get(agent_name) or _agent_part(agent_name)
    return b'%b%b,"event_id":"%b-' % (agent, orjson.dumps(run_id), producer.encode())


def line_rest(event_type: str, given: dict[str, Any]) -> bytes:
    """Return the rest of a line, from behind the sequence on, with its newline.

    Shape: `given` may hold anything; what is no field of the event goes into `attributes`.
    Raises: nothing for values that are tame; the caller catches what wild ones raise.
    """
    body = _quick_fields(given)
    if body is None:
        body, occurred_at = careful_fields(given, FIELD_TYPES)
        if occurred_at is not None:
            return b"%b%d%b" % (
                _type_parts.get(event_type) or _type_part(event_type),
                occurred_at,
                body,
            )
    return b"%b%d%b" % (
        _type_parts.get(event_type) or _type_part(event_type),
        time.time_ns() // 1000,
        body,
    )


def shortened_rest(fields: dict[str, Any]) -> bytes:
    """Return the rest of a line for the fields of one, cut to what a line may hold."""
    event_type, occurred_at = fields.pop("event_type"), fields.pop("occurred_at")
    body, _ = careful_fields(fields, FIELD_TYPES)
    return b"%b%d%b" % (_type_part(event_type), occurred_at, body)


def _quick_fields(given: dict[str, Any]) -> bytes | None:
    """Return the end of the line where every value is as the log wants it, else None."""
    if not given:
        return b"}\n"
    for name, value in given.items():
        wanted, found = FIELD_TYPES.get(name), type(value)
        if found is not wanted and not (found is int and wanted is float):
            return None
        if found is str:
            if len(value) > LONGEST_TEXT:
                return None
        elif found is int:
            if not LONG_MIN <= value <= LONG_MAX:
                return None
        elif not -_FLOAT_MAX <= value <= _FLOAT_MAX:
            return None
    try:
        return b",%b\n" % orjson.dumps(given)[1:]
    except TypeError:  # a lone surrogate
        return None


def _agent_part(agent_name: str | None) -> bytes:
    if not (agent_name is None or is_id(agent_name)):
        raise TypeError("the name of an agent is a text of 1 to 512 characters")
    if len(_agent_parts) >= _KNOWN_NAMES:
        _agent_parts.clear()
    begin = b'"agent_name":%b,' % orjson.dumps(agent_name) if agent_name is not None else b""
    part = _agent_parts[agent_name] = b'{%b"run_id":' % begin
    return part


def _type_part(event_type: str) -> bytes:
    if len(_type_parts) >= _KNOWN_NAMES:
        _type_parts.clear()
    text = event_type.value if type(event_type) is EventType else event_type
    if not is_id(text):
        raise TypeError("a type of event is a text of 1 to 512 characters")
    part = b'","event_type":%b,"occurred_at":' % orjson.dumps(text)
    _type_parts[event_type] = part
    return part
