"""Which run a span belongs to, told from one request alone.

A request that is sent again must give the same events, whoever takes it and whatever came between,
so nothing is remembered from one request to the next. What a request does not tell of a span, the
agent above it first of all, decides for the run of its trace.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from runfold.producers.collector.otlp.items import Span
from runfold.producers.genai_mapping import SpanKind, kind_of
from runfold.producers.tame import LONGEST_ID

SpanKey = tuple[str, str]
"""Trace and span id."""

_MOST_LEVELS = 1000


class Placed(NamedTuple):
    """A span with its kind and its run; `opens_run` where it is that run."""

    span: Span
    kind: SpanKind
    run_id: str
    parent_run_id: str | None
    opens_run: bool


def run_id_of(span: Span) -> str:
    """Return the run that a span is: a root's is named as its trace, see decision 10."""
    name = f"{span.trace_id}-{span.span_id}" if span.parent_span_id else span.trace_id
    return name[:LONGEST_ID]


class Places:
    """The spans of one request, of all its sources."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans: dict[SpanKey, tuple[Span, SpanKind]] = {
            (each.trace_id, each.span_id): (each, kind_of(each.attributes)) for each in spans
        }
        self._runs: dict[SpanKey, str] = {}

    def place(self, span: Span) -> Placed:
        """Return the run of a span.

        Shape: an agent is a run, and so is a root. What is below belongs to the nearest agent that
        the request holds, else to the run of the trace.
        """
        kind = self._spans[span.trace_id, span.span_id][1]
        around = self._around(span) if span.parent_span_id else None
        if kind is SpanKind.AGENT or around is None:
            return Placed(span, kind, run_id_of(span), around, True)
        return Placed(span, kind, around, None, False)

    def _around(self, span: Span) -> str:
        """Return the run above a span."""
        passed: list[SpanKey] = []
        at = span.trace_id, span.parent_span_id
        found = None
        while found is None:
            found = self._runs.get(at)
            if found is not None:
                break
            known = self._spans.get(at)
            if known is None or len(passed) > _MOST_LEVELS:
                found = span.trace_id[:LONGEST_ID]
            elif known[1] is SpanKind.AGENT or not known[0].parent_span_id:
                found = run_id_of(known[0])
            passed.append(at)
            at = (span.trace_id, known[0].parent_span_id) if known else at
        for each in passed:
            self._runs[each] = found
        return found
