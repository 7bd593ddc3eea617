"""From the items of a request to events, and what becomes of items that cannot be any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from runfold.producers.collector.otlp import automagik, claude_code, lenient_json, protobuf
from runfold.producers.collector.otlp.fields import Fields, Origin, origin_of, run_started
from runfold.producers.collector.otlp.items import (
    Batch,
    Item,
    ItemRefused,
    Log,
    Point,
    Refused,
    Signal,
    Span,
)
from runfold.producers.collector.otlp.json_values import dumped
from runfold.producers.collector.otlp.logs import log_events
from runfold.producers.collector.otlp.metrics import metric_event
from runfold.producers.collector.otlp.spans import SpanEvents

_READERS: dict[tuple[Signal, bool], Callable[[bytes], Batch[Any]]] = {
    (Signal.TRACES, False): protobuf.read_traces,
    (Signal.METRICS, False): protobuf.read_metrics,
    (Signal.LOGS, False): protobuf.read_logs,
    (Signal.TRACES, True): lenient_json.read_traces,
    (Signal.METRICS, True): lenient_json.read_metrics,
    (Signal.LOGS, True): lenient_json.read_logs,
}


@dataclass(slots=True)
class Translation:
    """What a request becomes.

    Shape: `items` has for each of `events` the index of its item in `sources`, by which `batch`
    knows its place; `refused` are the items that become none.
    """

    batch: Batch[Any]
    events: list[Fields] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    sources: list[Any] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Request:
    """One OTLP request as it came: protobuf, or JSON where `as_json`."""

    signal: Signal
    body: bytes
    as_json: bool

    def translate(self, *, content: bool) -> Translation:
        """Return the events of a request.

        Shape: a request that is sent again gives the same events with the same ids.
        Raises: ValueError for what is no such request.
        """
        batch = self._read()
        made = Translation(batch, refused=batch.refused)
        begun: set[str] = set()
        for origin, item, events in _events_of(self, batch, content=content):
            at = len(made.sources)
            made.sources.append(item)
            try:
                told = list(events)
            except ItemRefused as error:
                made.refused.append(self.refusal(made, at, error.reason, str(error)))
                continue
            for each in told:
                if each["run_id"] not in begun:
                    begun.add(each["run_id"])
                    start = _start_of(origin, item, each)
                    if start is not None:
                        made.events.append(start)
                        made.items.append(at)
                made.events.append(each)
                made.items.append(at)
        return made

    def _read(self) -> Batch[Any]:
        return _READERS[self.signal, self.as_json](self.body)

    def refusal(self, made: Translation, at: int, reason: str, message: str) -> Refused:
        """Return what is said of the item at `at` of `made`, which cannot become an event."""
        item = made.sources[at]
        content = dumped(item.raw) if self.as_json else protobuf.dumped(item.raw)
        name = getattr(item, "name", "") or getattr(item, "event_name", "")
        where = made.batch.place_of(at) + (f" {name[:80]!r}" if name else "")
        return Refused(where, reason, message, content)


@dataclass(frozen=True, slots=True)
class Rows(Request):
    """Rows of tables with OTLP's items in them, read already as `batch`; `body` is what came."""

    batch: Batch[Any]

    def _read(self) -> Batch[Any]:
        return self.batch


_Events = Iterator[tuple[Origin, Any, Iterable[Fields]]]


def _events_of(request: Request, batch: Batch[Any], *, content: bool) -> _Events:
    """Yield each item that could be read with its origin and its events, still to be made."""
    digest = blake2b(request.body, digest_size=16).hexdigest()
    if request.signal is Signal.TRACES:
        yield from _spans(batch, content=content)
    elif request.signal is Signal.METRICS:
        for number, origin, point in _numbered(batch):
            yield origin, point, _of_point(origin, point, f"otlp-{digest}-{number}")
    else:
        for number, origin, log in _numbered(batch):
            yield origin, log, _of_log(origin, log, f"otlp-{digest}-{number}", content=content)


def _numbered(batch: Batch[Item]) -> Iterator[tuple[int, Origin, Item]]:
    number = 0
    for source, items in batch.groups:
        origin = origin_of(source)
        for item in items:
            yield number, origin, item
            number += 1


def _spans(batch: Batch[Span], *, content: bool) -> _Events:
    spans = SpanEvents((each for _, some in batch.groups for each in some), content=content)
    for source, some in batch.groups:
        origin = origin_of(source)
        if automagik.is_automagik(source):
            for span in some:
                yield origin, span, _once(automagik.span_event, origin, span)
        elif claude_code.is_claude_code(source):
            for span in some:
                yield origin, span, _once(claude_code.span_event, origin, span)
        else:
            for span in some:
                yield origin, span, spans.of(origin, span)


def _of_point(origin: Origin, point: Point, event_id: str) -> Iterator[Fields]:
    make = metric_event
    if automagik.is_automagik(origin.source):
        make = automagik.metric_event
    elif claude_code.is_claude_code(origin.source):
        make = claude_code.metric_event
    return _once(make, origin, point, event_id)


def _of_log(origin: Origin, log: Log, event_id: str, *, content: bool) -> Iterator[Fields]:
    if automagik.is_automagik(origin.source):
        return automagik.log_events(origin, log, event_id)
    if claude_code.is_claude_code(origin.source):
        return _once(claude_code.log_event, origin, log, event_id)
    return log_events(origin, log, event_id, content=content)


def _once(make: Callable[..., Fields], *given: Any) -> Iterator[Fields]:
    yield make(*given)


def _start_of(origin: Origin, item: Any, event: Fields) -> Fields | None:
    """Return the start of a run that only its sender knows, a session or a process.

    Shape: None for the run of a trace, whose root tells it.
    """
    run_id, at = event["run_id"], event["occurred_at"]
    if automagik.is_automagik(origin.source):
        return run_started(origin, run_id, at, **automagik.profile(origin))
    if claude_code.is_claude_code(origin.source):
        return run_started(origin, run_id, at, **claude_code.profile(origin, item.attributes))
    if isinstance(item, Span) or run_id == getattr(item, "trace_id", ""):
        return None
    session = event.get("session_id")
    return run_started(origin, run_id, at, job_type="process", session_id=session)
