"""OpenAI Agents SDK: a tracing processor that records traces as runs.

agents.tracing.add_trace_processor(RunfoldTracingProcessor(client))
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

try:
    from agents.tracing import (
        AgentSpanData,
        GuardrailSpanData,
        HandoffSpanData,
        Span,
        Trace,
        TracingProcessor,
    )
except ImportError as error:
    raise ImportError(
        "runfold.producers.hooks.openai_agents needs the OpenAI Agents SDK: "
        "pip install openai-agents"
    ) from error

from runfold.producers.client import Client
from runfold.producers.genai_mapping import SpanKind, with_fresh_input
from runfold.producers.hooks.harmless import harmless
from runfold.producers.hooks.span_tree import SpanTree
from runfold.producers.hooks.spans import SpanEnd, SpanError, SpanStart, is_cancelling
from runfold.schemas.vocabulary import EventType

_KINDS = {
    "agent": SpanKind.AGENT,
    "function": SpanKind.TOOL,
    "generation": SpanKind.LLM,
    "response": SpanKind.LLM,
    "transcription": SpanKind.LLM,
    "speech": SpanKind.LLM,
}
_PLAIN_FIELDS = ("handoffs", "tools", "turn", "server", "mcp_data", "data", "metadata")
_CONTENT_FIELDS = ("input", "output")
_PASSED_ON = "Error in agent run"
"""What an agent's span says when something below it failed."""


class RunfoldTracingProcessor(TracingProcessor):
    """Records the traces of this process.

    Shape: a trace is a run, an agent in it a sub-run, a model's answer `llm.called` with its
    tokens, a function `tool.started` and `tool.ended`, a guardrail or a handoff `decision.made`,
    any other span `span.ended`. See docs/hooks.md.
    """

    def __init__(self, client: Client, *, content: bool = False) -> None:
        """Make a processor.

        Shape: with `content`, prompts, answers and what tools are given and return are recorded.
        """
        self._content = content
        self._tree = SpanTree(client)
        self._failures = _Failures()

    @harmless
    def on_trace_start(self, trace: Trace) -> None:
        """Record the start of a run."""
        self._tree.begin(_trace_start(trace))

    @harmless
    def on_trace_end(self, trace: Trace) -> None:
        """Record the end of a run; it failed if the agent that ended last did."""
        end = SpanEnd(occurred_at=_now_us(), error=self._failures.of_trace(trace.trace_id))
        self._tree.end(_trace_start(trace), end)

    @harmless
    def on_span_start(self, span: Span[Any]) -> None:
        """Record the start of a sub-run or a tool."""
        if not isinstance(span.span_data, (GuardrailSpanData, HandoffSpanData)):
            self._tree.begin(_span_start(span))

    @harmless
    def on_span_end(self, span: Span[Any]) -> None:
        """Record what a span tells."""
        data, failure = span.span_data, self._failures.of_span(span)
        if isinstance(data, GuardrailSpanData):
            self._decide(span, data.name, "tripped" if data.triggered else "passed")
        elif isinstance(data, HandoffSpanData):
            self._decide(span, "handoff", f"hand off to {data.to_agent}")
        else:
            names = _PLAIN_FIELDS + (_CONTENT_FIELDS if self._content else ())
            found = {name: getattr(data, name, None) for name in names}
            end = SpanEnd(
                occurred_at=_us(span.ended_at),
                columns=_model_columns(data) if _kind_of(span) is SpanKind.LLM else {},
                attributes={name: value for name, value in found.items() if value},
                error=failure,
            )
            self._tree.end(_span_start(span), end)

    def shutdown(self) -> None:
        """Ship what is left; the client can still be used."""
        self._tree.flush(5.0)

    def force_flush(self) -> None:
        """Wait a while until all that has ended is in the log."""
        self._tree.flush(30.0)

    def _decide(self, span: Span[Any], name: str, decision: str) -> None:
        self._tree.event(
            span.parent_id or span.trace_id,
            EventType.DECISION_MADE,
            name=name,
            decision=decision,
            occurred_at=_us(span.ended_at),
            **_ids(span),
        )


def _trace_start(trace: Trace) -> SpanStart:
    described = trace.export() or {}
    columns = {"trace_id": trace.trace_id}
    if described.get("group_id"):
        columns["session_id"] = str(described["group_id"])
    return SpanStart(
        key=trace.trace_id,
        parent=None,
        run_id=trace.trace_id,
        kind=SpanKind.AGENT,
        name=trace.name,
        occurred_at=_now_us(),
        columns=columns,
        attributes=dict(described.get("metadata") or {}),
    )


def _span_start(span: Span[Any]) -> SpanStart:
    data = span.span_data
    return SpanStart(
        key=span.span_id,
        parent=span.parent_id or span.trace_id,
        run_id=span.span_id,
        kind=_kind_of(span),
        name=data.name if isinstance(data, AgentSpanData) else getattr(data, "name", data.type),
        occurred_at=_us(span.started_at),
        columns=_ids(span),
    )


def _kind_of(span: Span[Any]) -> SpanKind:
    return _KINDS.get(span.span_data.type, SpanKind.OTHER)


def _ids(span: Span[Any]) -> dict[str, Any]:
    ids = {"trace_id": span.trace_id, "span_id": span.span_id, "parent_span_id": span.parent_id}
    return {name: value for name, value in ids.items() if value is not None}


def _model_columns(data: Any) -> dict[str, Any]:
    """Return model and tokens; a response has them within, a generation beside it."""
    response = getattr(data, "response", None)
    usage = getattr(data, "usage", None) or _as_mapping(getattr(response, "usage", None))
    read, written = (
        _as_mapping(usage.get(f"{side}_tokens_details")) for side in ("input", "output")
    )
    found = {
        "model": getattr(response, "model", None) or getattr(data, "model", None),
        "input_tokens": usage.get("input_tokens", usage.get("prompt_tokens")),
        "output_tokens": usage.get("output_tokens", usage.get("completion_tokens")),
        "cache_read_tokens": read.get("cached_tokens"),
        "cache_write_tokens": read.get("cache_write_tokens"),
        "reasoning_tokens": written.get("reasoning_tokens"),
    }
    return with_fresh_input({name: value for name, value in found.items() if value is not None})


def _as_mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    return value.model_dump() if hasattr(value, "model_dump") else {}


class _Failures:
    """Knows how agents and traces failed, of which the SDK tells some by the spans below them.

    A tripped guardrail is an error of the agent's turn, and no trace has errors of its own.
    """

    def __init__(self) -> None:
        self._below: dict[str, SpanError | None] = {}

    def of_span(self, span: Span[Any]) -> SpanError | None:
        """Return how a span that ends failed."""
        failure = _error_of(span)
        kind = span.span_data.type
        if kind == "turn" and span.parent_id is not None:
            self._below[span.parent_id] = failure
        elif kind == "agent":
            by_turn = self._below.pop(span.span_id, None)
            failure = failure or by_turn
            self._below[span.trace_id] = failure
        return failure

    def of_trace(self, trace_id: str) -> SpanError | None:
        """Return how a trace that ends failed."""
        return self._below.pop(trace_id, None)


def _error_of(span: Span[Any]) -> SpanError | None:
    if span.error is None:
        return None
    what = str(span.error["message"])
    details = span.error.get("data") or {}
    why = details.get("error") or ", ".join(f"{name}: {details[name]}" for name in details)
    return SpanError(
        what, str(why) or what, cancelled=is_cancelling(what), passed_on=what == _PASSED_ON
    )


def _us(moment: str | None) -> int:
    if moment is None:
        return _now_us()
    return round(datetime.fromisoformat(moment).timestamp() * 1_000_000)


def _now_us() -> int:
    return time.time_ns() // 1000
