"""Rows of the tables traces, metrics and logs, as the items that OTLP requests have.

Source: the ClickHouse backend of automagik-telemetry 0.1.0 to 0.1.4 (Python) and 0.1.3 (npm). What
a row becomes is what the same call becomes over OTLP; of attributes ClickHouse keeps texts only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from runfold.producers.collector.otlp.items import (
    Batch,
    ItemRefused,
    Log,
    Point,
    Signal,
    Source,
    Span,
    needed_id,
)
from runfold.producers.collector.otlp.json_values import (
    identifier,
    integer,
    mapping,
    number,
    parse,
    text,
)
from runfold.schemas.vocabulary import DeadLetterReason

Row = dict[str, Any]

_SIGNALS = {"span_name": Signal.TRACES, "metric_name": Signal.METRICS, "severity_text": Signal.LOGS}
"""The column by which a table is known, whatever it is called."""
_RESOURCE = {
    "service_name": "service.name",
    "project_version": "service.version",
    "project_name": "project.name",
    "service_namespace": "service.namespace",
    "service_instance_id": "service.instance.id",
    "environment": "deployment.environment",
    "hostname": "host.name",
    "user_id": "user.id",
    "session_id": "session.id",
    "instrumentation_library_name": "telemetry.sdk.name",
    "instrumentation_library_version": "telemetry.sdk.version",
}
_SDK, _SDK_ATTRIBUTE = "automagik-telemetry", "system.organization"
_OF_THE_SDK = ("service.name", "service.version", "project.name", "user.id", "session.id")
_EXCEPTION = {
    "exception_type": "exception.type",
    "exception_message": "exception.message",
    "exception_stacktrace": "exception.stacktrace",
}
_UNKNOWN = frozenset({"", "undefined"})
"""What the SDKs write where they know nothing."""
_STATUS = {"ok": 1, "error": 2}
_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_METRIC_KINDS = {"gauge": "gauge", "sum": "sum", "counter": "sum", "histogram": "histogram"}


def read_rows(body: bytes) -> tuple[Signal, Batch[Any]]:
    """Return what the rows of an insert are, and the items that they hold.

    Shape: rows that cannot be read are refused one by one.
    Raises: ValueError where no row is of a table of traces, metrics or logs.
    """
    parsed = [(at, line, _parsed(line)) for at, line in _lines(body)]
    signal = next((found for _, _, row in parsed if (found := _signal_of(row))), None)
    if signal is None:
        raise ValueError("no row is one of traces (span_name), metrics (metric_name) or logs "
                         "(severity_text)")  # fmt: skip
    batch = Batch[Any]()
    groups: dict[str, tuple[Source, list[Any], list[int]]] = {}
    for at, line, row in parsed:
        try:
            source, item = _read(row, signal)
        except ItemRefused as error:
            batch.refuse(f"rows[{at}]", error, line)
            continue
        _, items, indexes = groups.setdefault(repr(source), (source, [], []))
        items.append(item)
        indexes.append(at)
    batch.groups = [(source, items) for source, items, _ in groups.values()]
    batch.lists = [("rows", indexes) for *_, indexes in groups.values()]
    return signal, batch


def _lines(body: bytes) -> list[tuple[int, bytes]]:
    lines = (line.strip() for line in body.split(b"\n"))
    return [(at, line) for at, line in enumerate(line for line in lines if line)]


def _parsed(line: bytes) -> Any:
    try:
        return parse(line)
    except ValueError as error:
        return error


def _signal_of(row: Any) -> Signal | None:
    if not isinstance(row, dict):
        return None
    return next((signal for column, signal in _SIGNALS.items() if column in row), None)


def _read(row: Any, signal: Signal) -> tuple[Source, Any]:
    if isinstance(row, ValueError):
        raise ItemRefused(str(row), DeadLetterReason.BAD_BODY.value)
    if not isinstance(row, dict):
        raise ItemRefused("a row is a JSON object")
    if _signal_of(row) is not signal:
        raise ItemRefused(f"it is no row of {signal}, as those before it are")
    at_ns = _time(row)
    return _source(row, at_ns), _READERS[signal](row, at_ns)


def _source(row: Row, at_ns: int) -> Source:
    """Return where a row comes from; without a session, a day of it is a run.

    Shape: of the SDK only what its rows of all tables and versions say, so that they are one run.
    """
    said = {meant: text(row.get(column), column) for column, meant in _RESOURCE.items()}
    resource: Row = {name: value for name, value in said.items() if value not in _UNKNOWN}
    if resource.get("telemetry.sdk.name") == _SDK or _SDK_ATTRIBUTE in _attributes(row):
        resource = {name: resource[name] for name in _OF_THE_SDK if name in resource}
        resource["telemetry.sdk.name"] = _SDK
    if "session.id" not in resource and at_ns:
        resource["day"] = at_ns // _DAY_NS
    return Source(resource, "", "")


_DAY_NS = 24 * 60 * 60 * 10**9


def _span(row: Row, at_ns: int) -> Span:
    duration_ms = number(row.get("duration_ms") or 0, "duration_ms")
    if not 0 <= duration_ms < 2**32:
        raise ItemRefused(f"duration_ms: {duration_ms} is no duration")
    return Span(
        row,
        text(row.get("span_name"), "span_name"),
        needed_id(identifier(row.get("trace_id"), "trace_id"), "trace_id"),
        needed_id(identifier(row.get("span_id"), "span_id"), "span_id"),
        identifier(row.get("parent_span_id"), "parent_span_id"),
        _KINDS.get(_word(row, "span_kind", "span_kind_"), 0),
        at_ns,
        at_ns + int(duration_ms * 1_000_000),
        _attributes(row),
        [],
        [],
        _STATUS.get(_word(row, "status_code", "status_code_"), 0),
        text(row.get("status_message"), "status_message"),
    )


def _point(row: Row, at_ns: int) -> Point:
    kind = _METRIC_KINDS.get(_word(row, "metric_type", ""))
    if kind is None:
        raise ItemRefused(f"metric_type: {row.get('metric_type')!r} is not GAUGE, SUM or HISTOGRAM")
    unit = text(row.get("metric_unit") or row.get("unit"), "metric_unit")
    return Point(
        row,
        text(row.get("metric_name"), "metric_name"),
        "" if unit in _UNKNOWN else unit,
        kind,
        at_ns,
        _value(row),
        _attributes(row),
        {},
    )


def _value(row: Row) -> float:
    """Return what was measured: of value_int and value_double the other one is 0."""
    columns = ("value", "value_double", "value_int")
    values = [number(row[name], name) for name in columns if row.get(name) is not None]
    if not values:
        raise ItemRefused("neither value_double nor value_int is there")
    return next((each for each in values if each != 0), 0.0)


def _log(row: Row, at_ns: int) -> Log:
    told = {meant: text(row.get(column), column) for column, meant in _EXCEPTION.items()}
    return Log(
        row,
        at_ns,
        integer(row.get("severity_number"), "severity_number"),
        text(row.get("severity_text"), "severity_text"),
        text(row.get("body"), "body"),
        {**_attributes(row), **{name: value for name, value in told.items() if value}},
        identifier(row.get("trace_id"), "trace_id"),
        identifier(row.get("span_id"), "span_id"),
        "",
    )


_READERS: dict[Signal, Callable[[Row, int], Any]] = {
    Signal.TRACES: _span,
    Signal.METRICS: _point,
    Signal.LOGS: _log,
}


def _attributes(row: Row) -> Row:
    return dict(mapping(row.get("attributes"), "attributes"))


def _word(row: Row, column: str, prefix: str) -> str:
    return text(row.get(column), column).lower().removeprefix(prefix)


def _time(row: Row) -> int:
    """Return a row's time in nanoseconds since 1970; 0 where it has none."""
    exact = integer(row.get("timestamp_ns"), "timestamp_ns")
    if exact:
        return exact
    said = text(row.get("timestamp"), "timestamp")
    if not said:
        return 0
    try:
        moment = datetime.fromisoformat(said)
    except ValueError as error:
        message = f"timestamp: {said[:60]!r} is no time"
        raise ItemRefused(message, DeadLetterReason.BAD_TIME.value) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000) * 1_000_000
