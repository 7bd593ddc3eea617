"""From spans that begin and end to events of runs; what all tracing hooks have in common."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from runfold.producers.client import Client
from runfold.producers.context import current_run, enclosing_span
from runfold.producers.genai_mapping import SpanKind
from runfold.producers.hooks.spans import SpanEnd, SpanError, SpanStart
from runfold.schemas.vocabulary import EventType, RunStatus

_MOST_OPEN = 10_000
_ENDED_KNOWN = 1_000


@dataclass(slots=True)
class _Place:
    """Where in the tree a span is: the run of its events, and whether it opened that run."""

    start: SpanStart
    kind: SpanKind
    run_id: str
    opened_run: bool
    native_run: str | None
    parent: _Place | None
    reported: SpanError | None = None


class SpanTree:
    """Records spans: agents as runs, models and tools as their events, the rest as `span.ended`.

    Shape: a span belongs to the run of the span above it, to the run in whose `with` block it
    began where that is nearer, and opens a run where there is neither. An error that passes through
    several spans is raised once, by the innermost.
    A span that has ended is known for another 1,000 ends, for what begins below it late. While
    10,000 are open, one more makes the oldest forgotten; it is recorded when it ends.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._open: OrderedDict[Hashable, _Place] = OrderedDict()
        self._ended: OrderedDict[Hashable, _Place] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, start: SpanStart) -> None:
        """Take in that a span begins."""
        place = self._placed(start)
        self._keep(self._open, start.key, place, _MOST_OPEN)
        if start.kind is SpanKind.TOOL:
            self._tool_started(place)

    def end(self, start: SpanStart, end: SpanEnd) -> None:
        """Take in that a span ends; `start` says how it began where that is not known any more."""
        place = self._open.pop(start.key, None)
        if place is None:
            self.begin(start)
            place = self._open.pop(start.key)
        self._keep(self._ended, start.key, place, _ENDED_KNOWN)
        self._learn_kind(place, end)
        self._raise_error(place, end.error)
        self._record_end(place, end)

    def start_of(self, key: Hashable) -> SpanStart | None:
        """Return how a span began; None where it is not known."""
        place = self._place(key)
        return None if place is None else place.start

    def run_of(self, key: Hashable) -> str | None:
        """Return the run that a span's events belong to; None where it is not known."""
        place = self._place(key)
        return None if place is None else place.run_id

    def agent_of(self, key: Hashable) -> str | None:
        """Return the name of the agent that a span works for; None where it is not known."""
        place = self._place(key)
        while place is not None and place.kind is not SpanKind.AGENT:
            place = place.parent
        return None if place is None else place.start.columns.get("agent_name") or place.start.name

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until what was recorded is in the log; say whether it is."""
        return self._client.flush(timeout_seconds)

    def event(self, key: Hashable, event_type: EventType, **fields: Any) -> None:
        """Record an event of a span's run."""
        run_id = self.run_of(key) or current_run.get()
        if run_id is not None:
            self._client.event(run_id, event_type.value, **fields)

    def _place(self, key: Hashable) -> _Place | None:
        return self._open.get(key) or self._ended.get(key)

    def _keep(
        self, places: OrderedDict[Hashable, _Place], key: Hashable, place: _Place, most: int
    ) -> None:
        with self._lock:
            places[key] = place
            if len(places) > most:
                places.popitem(last=False)

    def _placed(self, start: SpanStart) -> _Place:
        parent = self._place(start.parent)
        native_run = current_run.get()
        outer = native_run
        if parent is not None and native_run in (None, parent.native_run):
            outer = parent.run_id
        if parent is None and (around := enclosing_span(outer)) is not None:
            start.columns.setdefault("parent_span_id", around)
        opens_run = start.kind is SpanKind.AGENT or outer is None
        place = _Place(start, start.kind, outer or start.run_id, opens_run, native_run, parent)
        if opens_run:
            self._open_run(place, outer)
        return place

    def _open_run(self, place: _Place, outer: str | None, agent_name: str | None = None) -> None:
        start = place.start
        columns = {**start.columns, "name": start.name, "occurred_at": start.occurred_at}
        known = columns.pop("agent_name", None)
        place.run_id = start.run_id
        self._client.start_run(
            agent_name or known or start.name,
            run_id=start.run_id,
            parent=outer,
            **columns,
            attributes=start.attributes,
        )

    def _tool_started(self, place: _Place, tool_name: str | None = None) -> None:
        start = place.start
        fields = {
            "tool_name": tool_name or start.name,
            **start.columns,
            "name": start.name,
            "occurred_at": start.occurred_at,
            "attributes": start.attributes,
        }
        self._client.event(place.run_id, EventType.TOOL_STARTED.value, **fields)

    def _learn_kind(self, place: _Place, end: SpanEnd) -> None:
        """Do what would have been done at the start, had the kind been known then."""
        if place.kind is not SpanKind.OTHER or end.kind is None:
            return
        place.kind = end.kind
        if end.kind is SpanKind.TOOL:
            self._tool_started(place, end.columns.get("tool_name"))
        elif end.kind is SpanKind.AGENT and not place.opened_run:
            place.opened_run = True
            self._open_run(place, place.run_id, end.columns.get("agent_name"))

    def _raise_error(self, place: _Place, error: SpanError | None) -> None:
        if error is None or error.cancelled:
            return
        known = place.reported == error or (error.passed_on and place.reported is not None)
        if not known:
            self._client.event(
                place.run_id,
                EventType.ERROR_RAISED.value,
                name=place.start.name,
                error_type=error.error_type,
                error_message=error.message,
                **_ids(place.start.columns),
            )
        above: _Place | None = place
        while above is not None:
            above.reported, above = error, above.parent

    def _record_end(self, place: _Place, end: SpanEnd) -> None:
        start = place.start
        fields: dict[str, Any] = {
            **_ids(start.columns),
            **end.columns,
            "occurred_at": end.occurred_at,
            "duration_ms": max(end.occurred_at - start.occurred_at, 0) / 1000,
            "attributes": end.attributes,
        }
        if end.error is not None:
            fields |= {"error_type": end.error.error_type, "error_message": end.error.message}
        status = RunStatus.SUCCESS.value if end.error is None else end.error.status
        event_type = _ENDS.get(place.kind)
        if event_type is not None and not (place.opened_run and place.kind is SpanKind.OTHER):
            named = {"name": start.name, "status": status}
            if place.kind is SpanKind.TOOL:
                named["tool_name"] = start.columns.get("tool_name") or start.name
            self._client.event(place.run_id, event_type.value, **{**named, **fields})
        if place.opened_run:
            fields.pop("agent_name", None)
            if place.kind is not SpanKind.AGENT and event_type is not EventType.SPAN_ENDED:
                fields = {name: fields[name] for name in fields if name in _OF_THE_RUN}
            self._client.end_run(place.run_id, status, **fields)


_ENDS = {
    SpanKind.LLM: EventType.LLM_CALLED,
    SpanKind.TOOL: EventType.TOOL_ENDED,
    SpanKind.OTHER: EventType.SPAN_ENDED,
}
"""What the end of a span is recorded as; an agent's is the end of its run."""

_ID_COLUMNS = ("trace_id", "span_id", "parent_span_id")
_OF_THE_RUN = (*_ID_COLUMNS, "occurred_at", "duration_ms", "error_type", "error_message")
"""What the end of a run repeats of the one call that the run consists of: no tokens again."""


def _ids(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: columns[name] for name in _ID_COLUMNS if columns.get(name) is not None}
