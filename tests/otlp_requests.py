"""OTLP requests for tests, made by opentelemetry-proto."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

TRACE = "5b8efff798038103d269b633813fc60c"
BEGIN_NS = 1_763_700_000_123_456_789

RESOURCE: dict[str, Any] = {"service.name": "shop", "service.version": "7", "host.name": "box"}
AGENT: dict[str, Any] = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
TOOL: dict[str, Any] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
CHAT: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 5,
}


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Return attributes as protobuf has them."""
    return [KeyValue(key=name, value=any_value(value)) for name, value in attributes.items()]


def any_value(value: Any) -> AnyValue:
    """Return a value as protobuf has it."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, list):
        made = AnyValue()
        made.array_value.values.extend(any_value(each) for each in value)
        return made
    if isinstance(value, dict):
        made = AnyValue()
        made.kvlist_value.values.extend(pairs(value))
        return made
    return AnyValue(string_value=value)


def span(
    number: int,
    attributes: Mapping[str, Any] | None = None,
    *,
    parent: int | None = None,
    name: str = "step",
    trace: str = TRACE,
    error: tuple[str, str] | None = None,
) -> Span:
    """Return a span whose id is `number`, that took half a second."""
    made = Span(
        trace_id=bytes.fromhex(trace),
        span_id=number.to_bytes(8, "big"),
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=BEGIN_NS,
        end_time_unix_nano=BEGIN_NS + 500_000_000,
        attributes=pairs(attributes or {}),
    )
    if parent is not None:
        made.parent_span_id = parent.to_bytes(8, "big")
    if error is not None:
        made.status.code = Status.STATUS_CODE_ERROR
        told = {"exception.type": error[0], "exception.message": error[1]}
        made.events.add(name="exception", attributes=pairs(told))
    return made


def span_id(number: int) -> str:
    """Return the id of the span of that number, as it is written."""
    return f"{number:016x}"


def traces(*spans: Span, resource: Mapping[str, Any] = RESOURCE, scope: str = "") -> bytes:
    """Return a request with these spans."""
    request = ExportTraceServiceRequest()
    source = request.resource_spans.add()
    source.resource.attributes.extend(pairs(resource))
    scoped = source.scope_spans.add()
    scoped.scope.name = scope
    scoped.spans.extend(spans)
    return bytes(request.SerializeToString())


def metrics(
    made: Iterable[Metric], resource: Mapping[str, Any] = RESOURCE, scope: str = ""
) -> bytes:
    """Return a request with these metrics."""
    request = ExportMetricsServiceRequest()
    source = request.resource_metrics.add()
    source.resource.attributes.extend(pairs(resource))
    scoped = source.scope_metrics.add()
    scoped.scope.name = scope
    scoped.metrics.extend(made)
    return bytes(request.SerializeToString())


def logs(
    made: Iterable[LogRecord], resource: Mapping[str, Any] = RESOURCE, scope: str = ""
) -> bytes:
    """Return a request with these log records."""
    request = ExportLogsServiceRequest()
    source = request.resource_logs.add()
    source.resource.attributes.extend(pairs(resource))
    scoped = source.scope_logs.add()
    scoped.scope.name = scope
    scoped.log_records.extend(made)
    return bytes(request.SerializeToString())


def log(body: Any, attributes: Mapping[str, Any] | None = None, **fields: Any) -> LogRecord:
    """Return a log record."""
    return LogRecord(
        time_unix_nano=BEGIN_NS,
        body=any_value(body),
        attributes=pairs(attributes or {}),
        **fields,
    )
