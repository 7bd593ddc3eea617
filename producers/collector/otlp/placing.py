"""Which run a span belongs to, told from one request alone.

A request that is sent again must give the same events, whoever takes it and whatever came between,
so nothing is remembered from one request to the next. What a request does not tell of a span, the
agent above it first of all, decides for the run of its trace.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from runfold.producers.collector.otlp.items import Span
from runfold.producers.genai_mapping import SpanKind, has_generated, kind_of
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
        self._find_sums()

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

    def _find_sums(self) -> None:
        """Find calls around calls: they tell again what those spent, and are no calls of their own.

        Both are there where a framework and the library that it calls are instrumented.
        """
        passed: set[SpanKey] = set()
        for key in list(self._spans):
            span, kind = self._spans[key]
            if kind is not SpanKind.LLM or not has_generated(span.attributes):
                continue
            at = span.trace_id, span.parent_span_id
            while at in self._spans and at != key and at not in passed:
                passed.add(at)
                above, kind_above = self._spans[at]
                if kind_above not in (SpanKind.LLM, SpanKind.OTHER):
                    break
                self._spans[at] = above, SpanKind.OTHER
                at = above.trace_id, above.parent_span_id

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
