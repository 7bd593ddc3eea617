"""OTLP requests as `/openapi.json` describes them, derived from opentelemetry-proto.

Source: OTLP/JSON's rules: names in camel case, ids in hexadecimal, 64-bit numbers as text or as
numbers, enums by number.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from runfold.producers.collector.descriptions import Content, Schema, reference, takes
from runfold.producers.collector.otlp.answers import JSON, PROTOBUF
from runfold.producers.collector.otlp.items import Signal

_REQUESTS: dict[Signal, Any] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
_HEXADECIMAL = {"trace_id": 32, "span_id": 16, "parent_span_id": 16}
"""The ids by the number of their digits."""
_NEEDED = {"Span": ["traceId", "spanId", "name", "startTimeUnixNano", "endTimeUnixNano"]}
_NUMBER = {"type": "number"}
_TEXT = {"type": "string"}
_WIDE = {"type": ["string", "integer"], "pattern": "^-?[0-9]{1,18}$"}
_WIDE_COUNT = {"type": ["string", "integer"], "pattern": "^[0-9]{1,18}$", "minimum": 0}
_TIME = {
    "type": "string",
    "pattern": "^1[0-9]{18}$",
    "description": "Nanoseconds since 1970, in the years 2001 to 2033 here",
}
_SMALL = {"type": "integer", "minimum": -(1 << 31), "maximum": (1 << 31) - 1}
_SMALL_COUNT = {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1}
_TYPES: dict[int, Schema] = {
    FieldDescriptor.TYPE_STRING: _TEXT,
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: _NUMBER,
    FieldDescriptor.TYPE_INT64: _WIDE,
    FieldDescriptor.TYPE_SFIXED64: _WIDE,
    FieldDescriptor.TYPE_UINT64: _WIDE_COUNT,
    FieldDescriptor.TYPE_FIXED64: _WIDE_COUNT,
    FieldDescriptor.TYPE_INT32: _SMALL,
    FieldDescriptor.TYPE_SINT32: _SMALL,
    FieldDescriptor.TYPE_UINT32: _SMALL_COUNT,
    FieldDescriptor.TYPE_FIXED32: _SMALL_COUNT,
}
_PROTOBUF = Content(PROTOBUF, {"type": "string", "contentMediaType": PROTOBUF})

_RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
_SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "chat gpt-5",
    "startTimeUnixNano": "1763700000000000000",
    "endTimeUnixNano": "1763700001000000000",
    "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-5"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
    ],
}
_POINT = {"timeUnixNano": "1763700000000000000", "asInt": "3"}
_LOG = {"timeUnixNano": "1763700000000000000", "severityNumber": 9, "body": {"stringValue": "done"}}
_EXAMPLES: dict[Signal, Any] = {
    Signal.TRACES: {
        "resourceSpans": [{"resource": _RESOURCE, "scopeSpans": [{"spans": [_SPAN]}]}],
    },
    Signal.METRICS: {
        "resourceMetrics": [
            {
                "resource": _RESOURCE,
                "scopeMetrics": [{"metrics": [{"name": "sent", "sum": {"dataPoints": [_POINT]}}]}],
            }
        ],
    },
    Signal.LOGS: {
        "resourceLogs": [{"resource": _RESOURCE, "scopeLogs": [{"logRecords": [_LOG]}]}],
    },
}


def request_body(signal: Signal) -> dict[str, Any]:
    """Return the forms that a request with this signal may have."""
    request = _REQUESTS[signal].DESCRIPTOR
    defined: dict[str, Schema] = {}
    _define(request, defined)
    schema = {**reference(_name(request)), "$defs": defined}
    return takes(Content(JSON, schema, _EXAMPLES[signal]), _PROTOBUF)


def _define(message: Descriptor, defined: dict[str, Schema]) -> None:
    """Add a message, and all that it is made of."""
    if _name(message) in defined:
        return
    schema: Schema = {"type": "object"}
    defined[_name(message)] = schema
    shown = [each for each in message.fields if not each.name.endswith("_strindex")]
    schema["properties"] = {each.json_name: _field(each, defined) for each in shown}
    if message.name in _NEEDED:
        schema["required"] = _NEEDED[message.name]
    if all(each.containing_oneof is not None for each in shown):
        schema["maxProperties"] = 1


def _field(field: FieldDescriptor, defined: dict[str, Schema]) -> Schema:
    one = _one(field, defined)
    return {"type": "array", "items": one} if field.is_repeated else one


def _one(field: FieldDescriptor, defined: dict[str, Schema]) -> Schema:
    if field.message_type is not None:
        _define(field.message_type, defined)
        return reference(_name(field.message_type))
    if field.enum_type is not None:
        words = {each.number: each.name for each in field.enum_type.values}
        told = ", ".join(f"{number} {word}" for number, word in words.items())
        return {"type": "integer", "enum": list(words), "description": told}
    if field.name in _HEXADECIMAL:
        return {"type": "string", "pattern": f"^[0-9a-f]{{{_HEXADECIMAL[field.name]}}}$"}
    return _TIME if field.name.endswith("time_unix_nano") else _TYPES[field.type]


def _name(message: Descriptor) -> str:
    return f"otlp.{message.name}"
