"""OTLP requests as protobuf.

Source: opentelemetry-proto, whose generated classes do the decoding.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from runfold.producers.collector.otlp.items import (
    MOST_NESTED,
    Batch,
    ItemRefused,
    Log,
    Point,
    Source,
    Span,
    needed_id,
)
from runfold.producers.collector.otlp.points import (
    METRIC_KINDS,
    histogram_details,
    number_details,
    summary_details,
)

_IDS = ("traceId", "spanId", "parentSpanId")


def read_traces(body: bytes) -> Batch[Span]:
    """Return the spans of a request. Raises: ValueError for what is no such request."""
    request, batch = _parsed(ExportTraceServiceRequest, body), Batch[Span]()
    for at, resource in enumerate(request.resource_spans):
        for inner, scope in enumerate(resource.scope_spans):
            where = f"resource_spans[{at}].scope_spans[{inner}].spans"
            spans = batch.read(scope.spans, _span, where, dumped)
            batch.groups.append((_source(resource.resource, scope.scope), spans))
    return batch


def read_logs(body: bytes) -> Batch[Log]:
    """Return the log records of a request. Raises: ValueError for what is no such request."""
    request, batch = _parsed(ExportLogsServiceRequest, body), Batch[Log]()
    for at, resource in enumerate(request.resource_logs):
        for inner, scope in enumerate(resource.scope_logs):
            where = f"resource_logs[{at}].scope_logs[{inner}].log_records"
            logs = batch.read(scope.log_records, _log, where, dumped)
            batch.groups.append((_source(resource.resource, scope.scope), logs))
    return batch


def read_metrics(body: bytes) -> Batch[Point]:
    """Return the data points of a request. Raises: ValueError for what is no such request."""
    request, batch = _parsed(ExportMetricsServiceRequest, body), Batch[Point]()
    for at, resource in enumerate(request.resource_metrics):
        for inner, scope in enumerate(resource.scope_metrics):
            points: list[Point] = []
            for number, metric in enumerate(scope.metrics):
                where = f"resource_metrics[{at}].scope_metrics[{inner}].metrics[{number}]"
                points += _points(batch, metric, where)
            batch.groups.append((_source(resource.resource, scope.scope), points))
    return batch


def dumped(message: Message) -> bytes:
    """Return an item as OTLP's JSON, for people who look at what was refused."""
    fields = MessageToDict(message)
    for name in _IDS:
        if name in fields:
            fields[name] = base64.b64decode(fields[name]).hex()
    return orjson.dumps(fields)


def _parsed(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise ValueError(f"the body is no {kind.DESCRIPTOR.name}: {error}") from error


def _source(resource: Any, scope: Any) -> Source:
    return Source(_attributes(resource.attributes), scope.name, scope.version)


def _span(span: Any) -> Span:
    status = span.status
    return Span(
        span,
        span.name,
        needed_id(span.trace_id.hex(), "trace_id"),
        needed_id(span.span_id.hex(), "span_id"),
        span.parent_span_id.hex(),
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        [(each.name, _attributes(each.attributes)) for each in span.events],
        [each.span_id.hex() for each in span.links],
        status.code,
        status.message,
    )


def _log(log: Any) -> Log:
    return Log(
        log,
        log.time_unix_nano or log.observed_time_unix_nano,
        log.severity_number,
        log.severity_text,
        _value(log.body),
        _attributes(log.attributes),
        log.trace_id.hex(),
        log.span_id.hex(),
        log.event_name,
    )


def _points(batch: Batch[Point], metric: Any, where: str) -> list[Point]:
    kind = metric.WhichOneof("data")
    if kind is None:
        batch.refuse(where, ItemRefused(f"metric {metric.name!r} has no data"), dumped(metric))
        return []
    data = getattr(metric, kind)
    temporality = getattr(data, "aggregation_temporality", 0)
    monotonic = getattr(data, "is_monotonic", None)
    told = number_details(temporality, monotonic, metric.description)

    def point(each: Any) -> Point:
        value, details = _measured(each, METRIC_KINDS[kind])
        return Point(
            each,
            metric.name,
            metric.unit,
            METRIC_KINDS[kind],
            each.time_unix_nano,
            value,
            _attributes(each.attributes),
            {**told, **details},
        )

    return batch.read(data.data_points, point, f"{where}.data_points", dumped)


def _measured(point: Any, kind: str) -> tuple[float | None, dict[str, Any]]:
    """Return the value of a data point, and what there is beside it."""
    if kind in ("gauge", "sum"):
        name = point.WhichOneof("value")
        return (None if name is None else getattr(point, name)), {}
    if kind == "summary":
        quantiles = {each.quantile: each.value for each in point.quantile_values}
        return point.sum, summary_details(point.count, quantiles)
    limits = {
        name: getattr(point, name) for name in ("min", "max") if point.HasField(name)
    }  # fmt: skip
    buckets: dict[str, Any]
    if kind == "histogram":
        buckets = {
            "bucket_counts": list(point.bucket_counts),
            "explicit_bounds": list(point.explicit_bounds),
        }
    else:
        buckets = {
            "scale": point.scale,
            "zero_count": point.zero_count,
            "positive": _exponential(point.positive),
            "negative": _exponential(point.negative),
        }
    value = point.sum if point.HasField("sum") else None
    return value, histogram_details(point.count, limits, buckets)


def _exponential(buckets: Any) -> dict[str, Any]:
    return {"offset": buckets.offset, "bucket_counts": list(buckets.bucket_counts)}


def _attributes(pairs: Any) -> dict[str, Any]:
    found = {}
    for each in pairs:
        value = each.value
        found[each.key] = value.string_value or _value(value)  # most are texts: no need to ask
    return found


def _value(value: Any, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind is None:
        return None
    if depth > MOST_NESTED:
        raise ItemRefused(f"attributes nest deeper than {MOST_NESTED} levels")
    if kind == "array_value":
        return [_value(each, depth + 1) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: _value(each.value, depth + 1) for each in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind)
