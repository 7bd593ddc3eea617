"""Spans as runs and events: agents are runs, models and tools their events, see decision 10."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from runfold.producers.collector.otlp.fields import Fields, Origin, with_columns
from runfold.producers.collector.otlp.items import ItemRefused, Span, microseconds
from runfold.producers.collector.otlp.placing import Placed, Places, SpanKey
from runfold.producers.genai_mapping import SpanKind, SpanMeaning, is_content, meaning_of
from runfold.producers.hooks.spans import is_cancelling
from runfold.schemas.vocabulary import EventType, RunStatus

_EXCEPTION = "exception"
_KINDS = {number: name[len("SPAN_KIND_") :].lower() for name, number in ProtoSpan.SpanKind.items()}
_ENDS = {
    SpanKind.LLM: EventType.LLM_CALLED,
    SpanKind.TOOL: EventType.TOOL_ENDED,
    SpanKind.OTHER: EventType.SPAN_ENDED,
}
_OF_THE_RUN = ("trace_id", "span_id", "duration_ms", "error_type", "error_message", "status")
"""What the end of a run repeats of the one call that the run consists of: no tokens again."""

_Error = tuple[str, str]


class SpanEvents:
    """Makes the events of the spans of one request.

    Shape: without `content`, prompts, answers and what tools are given and return are left out.
    An error that passes through several spans is raised once, by the innermost of the request.
    """

    def __init__(self, spans: Iterable[Span], *, content: bool) -> None:
        spans = list(spans)
        self._content = content
        self._places = Places(spans)
        self._below: dict[SpanKey, _Error] = {}
        for each in spans:
            if each.status == Status.STATUS_CODE_ERROR and each.parent_span_id:
                self._below[each.trace_id, each.parent_span_id] = error_of(each)

    def of(self, origin: Origin, span: Span) -> Iterator[Fields]:
        """Yield the events of a span. Raises: ItemRefused."""
        placed = self._places.place(span)
        started_at, ended_at = times_of(span)
        meaning = meaning_of(span.attributes, kind=placed.kind, with_content=self._content)
        error = error_of(span) if span.status == Status.STATUS_CODE_ERROR else None
        common: Fields = {**origin.columns, "trace_id": span.trace_id, "span_id": span.span_id}
        if span.parent_span_id:
            common["parent_span_id"] = span.parent_span_id
        if placed.opens_run:
            agent = meaning.columns.get("agent_name") or (
                span.name if placed.kind is SpanKind.AGENT else common.get("agent_name")
            )
            start = {
                **{name: meaning.columns[name] for name in _AT_START if name in meaning.columns},
                "agent_name": agent or span.name or "unknown",
                "name": span.name,
                "parent_run_id": placed.parent_run_id,
            }
            yield _event(placed, "-started", EventType.RUN_STARTED, started_at, common, start)
        if placed.kind is SpanKind.TOOL:
            tool = {"name": span.name, "tool_name": _tool_name(meaning, span)}
            yield _event(placed, "-tool", EventType.TOOL_STARTED, started_at, common, tool)
        if error is not None and self._raises(span, error):
            told = {"name": span.name, "error_type": error[0], "error_message": error[1]}
            yield _event(placed, "-error", EventType.ERROR_RAISED, ended_at, common, told)
        ended = meaning.columns | _outcome(span, error)
        if placed.kind is SpanKind.TOOL:
            ended["tool_name"] = _tool_name(meaning, span)
        attributes = meaning.attributes | self._beside(origin, span)
        yield from _ends(placed, ended_at, common, ended, attributes)

    def _raises(self, span: Span, error: _Error) -> bool:
        below = self._below.get((span.trace_id, span.span_id))
        return below != error and not is_cancelling(error[0])

    def _beside(self, origin: Origin, span: Span) -> Fields:
        """Return what a span has beside its attributes, as attributes."""
        found: Fields = {"span.kind": _KINDS.get(span.kind, "unspecified")}
        if origin.source.scope:
            found["otel.scope.name"] = origin.source.scope
        if span.links:
            found["span.links"] = span.links
        if span.events:
            told = [
                {"name": name, **self._allowed(attributes)}
                for name, attributes in span.events
                if name != _EXCEPTION and (self._content or not is_content(name))
            ]
            if told:
                found["span.events"] = told
            trace = _exception(span).get("exception.stacktrace")
            if trace:
                found["exception.stacktrace"] = trace
        return found

    def _allowed(self, attributes: Fields) -> Fields:
        return {
            name: value
            for name, value in attributes.items()
            if self._content or not is_content(name)
        }


_AT_START = ("agent_name", "agent_version", "session_id", "user_id")


def times_of(span: Span) -> tuple[int, int]:
    """Return when a span began and ended, in microseconds; one that is not told is the other.

    Raises: ItemRefused.
    """
    if not (span.start_ns or span.end_ns):
        raise ItemRefused("neither startTimeUnixNano nor endTimeUnixNano is there")
    started_at = microseconds(span.start_ns or span.end_ns, "startTimeUnixNano")
    return started_at, microseconds(span.end_ns or span.start_ns, "endTimeUnixNano")


def error_of(span: Span) -> _Error:
    """Return the type and message of the error that a span ended by."""
    exception = _exception(span)
    kind = exception.get("exception.type") or span.attributes.get("error.type") or "Error"
    return str(kind), str(exception.get("exception.message") or span.message)


def _exception(span: Span) -> Fields:
    """Return the attributes of the last exception that a span recorded."""
    return next((told for name, told in reversed(span.events) if name == _EXCEPTION), {})


def _outcome(span: Span, error: _Error | None) -> Fields:
    duration_ms = max(span.end_ns - span.start_ns, 0) / 1e6 if span.start_ns else 0.0
    outcome: Fields = {"name": span.name, "duration_ms": duration_ms}
    if error is None:
        return {**outcome, "status": RunStatus.SUCCESS.value}
    status = RunStatus.CANCELLED if is_cancelling(error[0]) else RunStatus.FAILURE
    told = {"error_type": error[0], "error_message": error[1]}
    return {**outcome, **told, "status": status.value}


def _tool_name(meaning: SpanMeaning, span: Span) -> str:
    return str(meaning.columns.get("tool_name") or span.name)


def _ends(
    placed: Placed, at: int, common: Fields, ended: Fields, attributes: Fields
) -> Iterator[Fields]:
    """Yield the end of a span: of what it did, and of its run where it is one."""
    calls = placed.kind in (SpanKind.LLM, SpanKind.TOOL)
    if calls or not placed.opens_run:
        yield _event(placed, "", _ENDS[placed.kind], at, common, ended, attributes)
    if placed.opens_run:
        whole = common | ended
        if calls:
            whole = {name: whole[name] for name in _OF_THE_RUN if name in whole}
        whole.pop("agent_name", None)
        told = {} if calls else attributes
        yield _event(placed, "-ended", EventType.RUN_ENDED, at, {}, whole, told)


def _event(
    placed: Placed,
    suffix: str,
    event_type: EventType,
    at: int,
    common: Fields,
    columns: Fields,
    attributes: Fields | None = None,
) -> Fields:
    """Return an event of `common` columns, which are texts as the log takes them, and others."""
    span = placed.span
    event: Fields = {
        "event_id": f"otlp-{span.trace_id}-{span.span_id}{suffix}",
        "run_id": placed.run_id,
        "event_type": event_type.value,
        "occurred_at": at,
        **common,
    }
    return with_columns(event, columns, {} if attributes is None else attributes)
