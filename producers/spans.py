"""A piece of work inside a run, a tool call first of all, as a context manager."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runfold.producers.block import Block
from runfold.producers.context import Place, Scope
from runfold.producers.outcome import outcome_of
from runfold.schemas.vocabulary import EventType, RunStatus

if TYPE_CHECKING:
    from runfold.producers.calls import Calls


class Span(Block):
    """Work to be done inside `with` or `async with`; no method raises.

    Its end tells how long it took and how it went: `failure` by an exception, `cancelled` by a
    cancellation, else `success`. What is recorded inside has it as its `parent_span_id`.
    """

    def __init__(
        self,
        calls: Calls,
        place: Place | None,
        fields: dict[str, Any],
        *,
        started: EventType | None,
        ended: EventType,
    ) -> None:
        self.span_id = calls.mint_span_id()
        self._calls = calls
        self._run_id = None if place is None else place.run_id
        self._scope = None if place is None else Scope(place._replace(span_id=self.span_id))
        self._fields = {"span_id": self.span_id, **fields}
        if place is not None and place.span_id is not None:
            self._fields.setdefault("parent_span_id", place.span_id)
        self._started, self._ended = started, ended
        self._said: dict[str, Any] = {}
        self._began_ns = 0

    def set(self, /, **fields: Any) -> None:
        """Say more of it, to be recorded with its end; a `status` takes the place of `success`."""
        self._said.update(fields)

    def begin(self) -> None:
        """Record the start."""
        if self._started is not None:
            self._calls.record(self._run_id, self._started, dict(self._fields))
        self._began_ns = time.perf_counter_ns()

    def end(self, error: BaseException | None = None) -> None:
        """Record the end, by `error` where there is one."""
        taken_ms = (time.perf_counter_ns() - self._began_ns) / 1e6
        usual = {"duration_ms": taken_ms, "status": RunStatus.SUCCESS.value}
        broken = {} if error is None else outcome_of(error)
        fields = {**self._fields, **usual, **self._said, **broken}
        self._calls.record(self._run_id, self._ended, fields)
