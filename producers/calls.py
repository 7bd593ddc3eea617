"""What can be recorded of a run: the same calls on a client and on a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from runfold.producers.context import Place, current_place, enclosing_span, is_in
from runfold.producers.event_line import FIELD_TYPES
from runfold.producers.outcome import error_fields, frames_of
from runfold.producers.recorder import Recorder
from runfold.producers.spans import Span
from runfold.producers.tame import is_a, is_id, tame_id
from runfold.producers.trace_context import environment_of
from runfold.producers.transcripts import transcript_parts
from runfold.schemas.vocabulary import EventType


class Calls(ABC):
    """Records what happens in a run; no method raises.

    Shape: `run_id` is by default the run that this is, on a client the run whose block it is
    called in; where there is none the call is counted as failed. All methods take further fields
    by name: those of `Event` go to their columns, others into `attributes`.
    """

    _recorder: Recorder

    @abstractmethod
    def _run_for(self, run_id: str | None) -> str | None:
        """Return the run that is meant by `run_id`, None where there is none."""

    @abstractmethod
    def trace_of(self, run_id: str) -> str:
        """Return the trace of a run, as far as it is known without its place."""

    def tool(self, /, name: str, *, run_id: str | None = None, **fields: Any) -> Span:
        """Return a tool call for a `with` or `async with` block.

        Shape: `tool.started` and `tool.ended` share a `span_id`; the end has `duration_ms`,
        `status` and, where it failed, `error_type` and `error_message`.
        """
        return Span(
            self,
            self._place_in(run_id),
            {"tool_name": name, **fields},
            started=EventType.TOOL_STARTED,
            ended=EventType.TOOL_ENDED,
        )

    def span(self, /, name: str, *, run_id: str | None = None, **fields: Any) -> Span:
        """Return any other piece of work for a block: one `span.ended` at its end."""
        place = self._place_in(run_id)
        named = {"name": name, **fields}
        return Span(self, place, named, started=None, ended=EventType.SPAN_ENDED)

    def llm_call(
        self,
        /,
        model: str | None = None,
        *,
        run_id: str | None = None,
        provider: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_usd: float | None = None,
        duration_ms: float | timedelta | None = None,
        **fields: Any,
    ) -> None:
        """Record a call of a model that has been answered.

        Units: tokens and dollars of this call alone. More columns: `cache_read_tokens`,
        `cache_write_tokens`, `reasoning_tokens`, `status`, `error_type`, `error_message`.
        """
        given = {
            "model": model,
            "provider": provider,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cost_usd": cost_usd,
            "duration_ms": duration_ms,
        }
        known = {name: value for name, value in given.items() if value is not None}
        self.record(self._run_for(run_id), EventType.LLM_CALLED, {**known, **fields})

    def decision(
        self,
        /,
        decision: str,
        reason: str | None = None,
        *,
        run_id: str | None = None,
        **fields: Any,
    ) -> None:
        """Record what the agent decided, and why."""
        fields["decision"] = decision
        if reason is not None:
            fields["decision_reason"] = reason
        self.record(self._run_for(run_id), EventType.DECISION_MADE, fields)

    def error(
        self, /, error: BaseException | str, *, run_id: str | None = None, **fields: Any
    ) -> None:
        """Record an error that the run survives, an exception or a text.

        Shape: an exception gives `error_type`, `error_message` and the attribute `frames`: the
        places that it came through, outermost first.
        """
        if is_a(error, BaseException):
            frames = frames_of(error.__traceback__)
            found = {**error_fields(error), **({"frames": frames} if frames else {})}
            fields = {**found, **fields}
        else:
            fields["error_message"] = error
        self.record(self._run_for(run_id), EventType.ERROR_RAISED, fields)

    def metric(
        self,
        /,
        name: str,
        value: float,
        unit: str | None = None,
        *,
        run_id: str | None = None,
        **fields: Any,
    ) -> None:
        """Record a measured value; the run keeps the latest of each name."""
        fields |= {"name": name, "value": value}
        if unit is not None:
            fields["unit"] = unit
        self.record(self._run_for(run_id), EventType.METRIC_RECORDED, fields)

    def set_metrics(
        self, /, metrics: Mapping[str, Any] | None = None, *, run_id: str | None = None, **more: Any
    ) -> None:
        """Record several values of the run at once.

        Shape: those that are columns of a run (`items_succeeded`, …) are set there; other numbers
        are one `metric.recorded` each; all the rest becomes attributes of the run.
        """
        run = self._run_for(run_id)
        given = more if metrics is None else {**_as_fields(metrics), **more}
        measured = {
            name: value
            for name, value in given.items()
            if type(value) in (int, float) and name not in FIELD_TYPES
        }
        said = {name: value for name, value in given.items() if name not in measured}
        if said:
            self.record(run, EventType.RUN_UPDATED, said)
        for name, value in measured.items():
            self.record(run, EventType.METRIC_RECORDED, {"name": name, "value": value})

    def associate_commit(
        self,
        /,
        commit_hash: str,
        *,
        source: str = "manual",
        author: str | None = None,
        timestamp: datetime | str | None = None,
        run_id: str | None = None,
        **fields: Any,
    ) -> None:
        """Record which commit the run made or belongs to; also long after the run has ended."""
        said = {
            "git_commit_hash": commit_hash,
            "git_commit_source": source,
            "git_commit_author": author,
            "git_commit_timestamp": timestamp,
        }
        known = {name: value for name, value in said.items() if value is not None}
        self.record(self._run_for(run_id), EventType.COMMIT_ASSOCIATED, {**known, **fields})

    def transcript(
        self, /, messages: Iterable[Any], *, run_id: str | None = None, **fields: Any
    ) -> None:
        """Record the conversation of the run so far, whole; a later one takes its place.

        Shape: a message is usually a mapping with `role` and `content`. A long transcript becomes
        several events, each with its `part` of `parts` and the index of its first message.
        """
        run = self._run_for(run_id)
        for part in transcript_parts(messages):
            self.record(run, EventType.TRANSCRIPT_SAVED, {**fields, **part})

    def heartbeat(self, /, run_id: str | None = None) -> None:
        """Say that a run is alive, as open runs do by themselves while this process lives."""
        self.record(self._run_for(run_id), EventType.RUN_HEARTBEAT, {})

    def environment(self, /, *, run_id: str | None = None) -> dict[str, str]:
        """Return the environment variables by which a child process joins this run.

        Shape: RUNFOLD_PARENT_RUN, and TRACEPARENT for the child's trace; empty outside of a run.
        """
        place = self._place_in(run_id)
        return {} if place is None else environment_of(place)

    def record(self, run_id: str | None, event_type: str, fields: dict[str, Any]) -> None:
        """Record an event of the run `run_id`; `fields` is not the caller's any more."""
        if run_id is None:
            self._recorder.refuse(event_type)
            return
        span_id = enclosing_span(run_id)
        if span_id is not None:
            fields.setdefault("parent_span_id", span_id)
        self._recorder.record(run_id, event_type, fields)

    def mint_span_id(self) -> str:
        """Return a new span id."""
        return self._recorder.mint_span_id()

    def _place_in(self, run_id: str | None) -> Place | None:
        run = self._run_for(run_id)
        if run is None:
            return None
        place = current_place.get()
        if place is not None and is_in(place, run):
            return place
        name = run if is_id(run) else tame_id(run)
        return Place(name, self.trace_of(name))


def _as_fields(metrics: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {**metrics}
    except Exception:  # noqa: BLE001  a mapping of the agent's own, or none at all
        return {"metrics": metrics}
