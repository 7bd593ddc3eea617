"""OpenTelemetry: a span processor that records spans as runs and events.

provider.add_span_processor(RunfoldSpanProcessor(client))
"""

from __future__ import annotations

from typing import Any

try:
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
    from opentelemetry.trace import SpanContext, StatusCode, format_span_id, format_trace_id
except ImportError as error:
    raise ImportError(
        "runfold.producers.hooks.opentelemetry needs OpenTelemetry: pip install opentelemetry-sdk"
    ) from error

from runfold.producers.client import Client
from runfold.producers.genai_mapping import SpanKind, is_content, meaning_of, resource_columns
from runfold.producers.hooks.harmless import harmless
from runfold.producers.hooks.span_tree import SpanTree
from runfold.producers.hooks.spans import SpanEnd, SpanError, SpanStart, is_cancelling

_EXCEPTION = "exception"


class RunfoldSpanProcessor(SpanProcessor):
    """Records the sampled spans of this process.

    Shape: an agent's span is a run, named `<trace id>-<span id>`, a root's `<trace id>`; a model's
    is `llm.called`, a tool's `tool.started` and `tool.ended`, any other `span.ended`. See
    docs/hooks.md.
    """

    def __init__(self, client: Client, *, content: bool = False) -> None:
        """Make a processor.

        Shape: with `content`, prompts, answers and what tools are given and return are recorded.
        """
        self._client = client
        self._content = content
        self._tree = SpanTree(client)
        self._resource: tuple[Resource | None, dict[str, Any]] = None, {}

    @harmless
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Record the start of a run or a tool."""
        if _is_sampled(span):
            self._tree.begin(self._start_of(span))

    @harmless
    def on_end(self, span: ReadableSpan) -> None:
        """Record what a span tells."""
        if not _is_sampled(span):
            return
        meaning = meaning_of(span.attributes or {}, with_content=self._content)
        attributes = meaning.attributes | self._beside(span)
        end = SpanEnd(
            occurred_at=_us(span.end_time),
            kind=meaning.kind,
            columns=meaning.columns,
            attributes=attributes,
            error=_error_of(span, meaning.columns.get("error_type")),
        )
        start = self._tree.start_of(_context_of(span).span_id) or self._start_of(span)
        self._tree.end(start, end)

    def shutdown(self) -> None:
        """Ship what is left; the client can still be used."""
        self._client.flush()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait until all that has ended is in the log; say whether it is."""
        return self._client.flush(timeout_millis / 1000)

    def _start_of(self, span: ReadableSpan) -> SpanStart:
        context, parent = _context_of(span), span.parent
        trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
        meaning = meaning_of(span.attributes or {}, with_content=self._content)
        columns = {
            **self._columns_of(span.resource),
            **{name: meaning.columns[name] for name in meaning.columns if name in _AT_START},
            "trace_id": trace_id,
            "span_id": span_id,
        }
        if parent is not None:
            columns["parent_span_id"] = format_span_id(parent.span_id)
        return SpanStart(
            key=context.span_id,
            parent=None if parent is None else parent.span_id,
            run_id=trace_id if parent is None else f"{trace_id}-{span_id}",
            kind=meaning.kind if meaning.kind in _KNOWN_AT_START else SpanKind.OTHER,
            name=span.name,
            occurred_at=_us(span.start_time),
            columns=columns,
        )

    def _columns_of(self, resource: Resource) -> dict[str, Any]:
        """Return what a resource says; all spans of a provider have the same one."""
        known, columns = self._resource
        if known is not resource:
            columns = resource_columns(resource.attributes)
            self._resource = resource, columns
        return columns

    def _beside(self, span: ReadableSpan) -> dict[str, Any]:
        """Return what a span has beside its attributes, as attributes."""
        events = [self._plain(each) for each in span.events if each.name != _EXCEPTION]
        events = [each for each in events if self._content or not is_content(each["name"])]
        links = [format_span_id(each.context.span_id) for each in span.links]
        scope = span.instrumentation_scope
        found = {
            "otel.scope.name": None if scope is None else scope.name,
            "span.kind": span.kind.name.lower(),
            "span.events": events,
            "span.links": links,
            "exception.stacktrace": _exception(span).get("exception.stacktrace"),
        }
        return {name: value for name, value in found.items() if value}

    def _plain(self, event: Event) -> dict[str, Any]:
        attributes = meaning_of(event.attributes or {}, with_content=self._content).attributes
        return {"name": event.name, **attributes}


_KNOWN_AT_START = (SpanKind.AGENT, SpanKind.TOOL)
_AT_START = ("agent_name", "agent_version", "session_id", "user_id", "tool_name")


def _is_sampled(span: ReadableSpan) -> bool:
    context = span.get_span_context()
    return context is not None and context.trace_flags.sampled


def _context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span without a context")
    return context


def _us(time_ns: int | None) -> int:
    return (time_ns or 0) // 1000


def _exception(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of the last exception that a span recorded."""
    exceptions = [each for each in span.events if each.name == _EXCEPTION]
    return dict(exceptions[-1].attributes or {}) if exceptions else {}


def _error_of(span: ReadableSpan, error_type: str | None) -> SpanError | None:
    if span.status.status_code is not StatusCode.ERROR:
        return None
    exception = _exception(span)
    kind = str(exception.get("exception.type") or error_type or "Error")
    message = str(exception.get("exception.message") or span.status.description or "")
    return SpanError(kind, message, cancelled=is_cancelling(kind))
