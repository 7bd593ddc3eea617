"""OTLP requests as JSON, of clients that follow the specification and of those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from runfold.producers.collector.otlp.items import (
    Batch,
    Item,
    ItemRefused,
    Log,
    Point,
    Source,
    Span,
    needed_id,
)
from runfold.producers.collector.otlp.json_values import (
    any_value,
    attributes,
    dumped,
    enum,
    get,
    identifier,
    integer,
    mapping,
    number,
    objects,
    optional_number,
    parse,
    text,
)
from runfold.producers.collector.otlp.points import (
    METRIC_KINDS,
    histogram_details,
    number_details,
    summary_details,
)


def read_traces(body: bytes) -> Batch[Span]:
    """Return the spans of a request. Raises: ValueError for what is no such request."""
    batch = Batch[Span]()
    for source, scope, where in _scopes(batch, body, "Spans"):
        spans = _listed(batch, scope, ("spans", "spans"), where)
        batch.groups.append((source, batch.read(spans, _span, f"{where}.spans", dumped)))
    return batch


def read_logs(body: bytes) -> Batch[Log]:
    """Return the log records of a request. Raises: ValueError for what is no such request."""
    batch = Batch[Log]()
    for source, scope, where in _scopes(batch, body, "Logs"):
        logs = _listed(batch, scope, ("logRecords", "log_records"), where)
        batch.groups.append((source, batch.read(logs, _log, f"{where}.logRecords", dumped)))
    return batch


def read_metrics(body: bytes) -> Batch[Point]:
    """Return the data points of a request. Raises: ValueError for what is no such request."""
    batch = Batch[Point]()
    for source, scope, where in _scopes(batch, body, "Metrics"):
        points: list[Point] = []
        for at, metric in enumerate(_listed(batch, scope, ("metrics", "metrics"), where)):
            place = f"{where}.metrics[{at}]"
            with_point = _careful(batch, metric, place, _point_reader)
            if with_point is not None:
                raws, read = with_point
                points += batch.read(raws, read, f"{place}.dataPoints", dumped)
        batch.groups.append((source, points))
    return batch


def _scopes(
    batch: Batch[Item], body: bytes, what: str
) -> Iterator[tuple[Source, dict[str, Any], str]]:
    """Yield each scope with its source and its place; one that is none is refused."""
    request = parse(body)
    if not isinstance(request, dict):
        raise ValueError("the body is no OTLP request: an object is needed")
    camel, snake = f"resource{what}", f"resource_{what.lower()}"
    entries = get(request, camel, snake)
    if entries is not None and not isinstance(entries, list):
        raise ValueError(f"{camel}: a list is needed")
    for at, entry in enumerate(entries or ()):
        where = f"{camel}[{at}]"
        found = _careful(batch, entry, where, lambda raw: _resource_of(raw, what))
        if found is None:
            continue
        resource, scopes = found
        for inner, raw in enumerate(scopes):
            place = f"{where}.scope{what}[{inner}]"
            scope = _careful(batch, raw, place, _scope_of)
            if scope is not None:
                yield Source(resource, *scope), raw, place


def _careful(batch: Batch[Item], raw: Any, where: str, read: Callable[[Any], Any]) -> Any:
    """Return what `read` makes of something, None where it is refused, which is noted."""
    try:
        return read(raw)
    except ItemRefused as error:
        batch.refuse(where, error, dumped(raw))
        return None


def _resource_of(raw: Any, what: str) -> tuple[dict[str, Any], list[Any]]:
    fields = mapping(_object(raw), "resource")
    resource = mapping(fields.get("resource"), "resource")
    scopes = get(fields, f"scope{what}", f"scope_{what.lower()}")
    return attributes(resource.get("attributes")), objects(scopes, f"scope{what}")


def _scope_of(raw: Any) -> tuple[str, str]:
    scope = mapping(_object(raw).get("scope"), "scope")
    return text(scope.get("name"), "scope.name"), text(scope.get("version"), "scope.version")


def _listed(
    batch: Batch[Item], scope: dict[str, Any], names: tuple[str, str], where: str
) -> list[Any]:
    found = _careful(batch, scope, where, lambda raw: objects(get(raw, *names), names[0]))
    return [] if found is None else list(found)


def _object(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ItemRefused("an object is needed")
    return raw


def _span(raw: Any) -> Span:
    fields = _object(raw)
    status = mapping(fields.get("status"), "status")
    return Span(
        raw,
        text(fields.get("name"), "name"),
        needed_id(identifier(get(fields, "traceId", "trace_id"), "traceId"), "traceId"),
        needed_id(identifier(get(fields, "spanId", "span_id"), "spanId"), "spanId"),
        identifier(get(fields, "parentSpanId", "parent_span_id"), "parentSpanId"),
        enum(fields.get("kind"), ProtoSpan.SpanKind, "kind"),
        _time(fields, "startTimeUnixNano", "start_time_unix_nano"),
        _time(fields, "endTimeUnixNano", "end_time_unix_nano"),
        attributes(fields.get("attributes")),
        [_event(each) for each in objects(fields.get("events"), "events")],
        [
            identifier(get(mapping(each, "links"), "spanId", "span_id"), "links.spanId")
            for each in objects(fields.get("links"), "links")
        ],
        enum(status.get("code"), Status.StatusCode, "status.code"),
        text(status.get("message"), "status.message"),
    )


def _event(raw: Any) -> tuple[str, dict[str, Any]]:
    fields = mapping(raw, "events")
    return text(fields.get("name"), "events.name"), attributes(fields.get("attributes"))


def _log(raw: Any) -> Log:
    fields = _object(raw)
    at = _time(fields, "timeUnixNano", "time_unix_nano")
    return Log(
        raw,
        at or _time(fields, "observedTimeUnixNano", "observed_time_unix_nano"),
        enum(get(fields, "severityNumber", "severity_number"), SeverityNumber, "severityNumber"),
        text(get(fields, "severityText", "severity_text"), "severityText"),
        any_value(fields.get("body")),
        attributes(fields.get("attributes")),
        identifier(get(fields, "traceId", "trace_id"), "traceId"),
        identifier(get(fields, "spanId", "span_id"), "spanId"),
        text(get(fields, "eventName", "event_name"), "eventName"),
    )


def _point_reader(raw: Any) -> tuple[list[Any], Callable[[Any], Point]]:
    """Return the data points of a metric, and what reads one."""
    metric = _object(raw)
    name, unit = text(metric.get("name"), "name"), text(metric.get("unit"), "unit")
    description = text(metric.get("description"), "description")
    key = next((each for each in METRIC_KINDS if metric.get(each) is not None), None)
    if key is None:
        raise ItemRefused(f"metric {name!r} has no data")
    data, kind = mapping(metric[key], key), METRIC_KINDS[key]
    temporality = enum(
        get(data, "aggregationTemporality", "aggregation_temporality"),
        AggregationTemporality,
        "aggregationTemporality",
    )
    monotonic = get(data, "isMonotonic", "is_monotonic")
    told = number_details(
        temporality, monotonic if isinstance(monotonic, bool) else None, description
    )
    measured = _MEASURED.get(kind, _number_of)

    def point(raw: Any) -> Point:
        fields = _object(raw)
        value, details = measured(fields)
        return Point(
            raw,
            name,
            unit,
            kind,
            _time(fields, "timeUnixNano", "time_unix_nano"),
            value,
            attributes(fields.get("attributes")),
            {**told, **details},
        )

    return objects(get(data, "dataPoints", "data_points"), f"{key}.dataPoints"), point


_Measured = tuple[float | None, dict[str, Any]]


def _number_of(fields: dict[str, Any]) -> _Measured:
    for camel, snake in (("asDouble", "as_double"), ("asInt", "as_int")):
        if camel in fields or snake in fields:
            value = get(fields, camel, snake)
            whole = camel == "asInt"
            return (integer(value, camel) if whole else number(value, camel)), {}
    return None, {}


def _histogram_of(fields: dict[str, Any]) -> _Measured:
    limits = _limits_of(fields)
    counts = objects(get(fields, "bucketCounts", "bucket_counts"), "bucketCounts")
    bounds = objects(get(fields, "explicitBounds", "explicit_bounds"), "explicitBounds")
    buckets = {
        "bucket_counts": [integer(each, "bucketCounts") for each in counts],
        "explicit_bounds": [number(each, "explicitBounds") for each in bounds],
    }
    details = histogram_details(integer(fields.get("count"), "count"), limits, buckets)
    return optional_number(fields.get("sum"), "sum"), details


def _exponential_of(fields: dict[str, Any]) -> _Measured:
    limits = _limits_of(fields)
    buckets = {
        "scale": integer(fields.get("scale"), "scale"),
        "zero_count": integer(get(fields, "zeroCount", "zero_count"), "zeroCount"),
        "positive": _buckets_of(fields.get("positive"), "positive"),
        "negative": _buckets_of(fields.get("negative"), "negative"),
    }
    details = histogram_details(integer(fields.get("count"), "count"), limits, buckets)
    return optional_number(fields.get("sum"), "sum"), details


def _limits_of(fields: dict[str, Any]) -> dict[str, float]:
    return {str(name): number(fields[name], name) for name in ("min", "max") if name in fields}


def _buckets_of(raw: Any, name: str) -> dict[str, Any]:
    fields = mapping(raw, name)
    counts = objects(get(fields, "bucketCounts", "bucket_counts"), f"{name}.bucketCounts")
    return {
        "offset": integer(fields.get("offset"), f"{name}.offset"),
        "bucket_counts": [integer(each, f"{name}.bucketCounts") for each in counts],
    }


def _summary_of(fields: dict[str, Any]) -> _Measured:
    quantiles = {}
    for raw in objects(get(fields, "quantileValues", "quantile_values"), "quantileValues"):
        each = mapping(raw, "quantileValues")
        at = number(each.get("quantile", 0), "quantileValues.quantile")
        quantiles[at] = number(each.get("value", 0), "quantileValues.value")
    details = summary_details(integer(fields.get("count"), "count"), quantiles)
    return optional_number(fields.get("sum"), "sum"), details


_MEASURED: dict[str, Callable[[dict[str, Any]], _Measured]] = {
    "histogram": _histogram_of,
    "exponential_histogram": _exponential_of,
    "summary": _summary_of,
}


def _time(fields: dict[str, Any], camel: str, snake: str) -> int:
    return integer(get(fields, camel, snake), camel)
