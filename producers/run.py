"""One run as an object: a context manager that starts and ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runfold.producers.block import Block
from runfold.producers.calls import Calls
from runfold.producers.context import Place, Scope, current_run
from runfold.producers.outcome import outcome_of
from runfold.producers.recorder import Recorder
from runfold.schemas.vocabulary import EventType, RunStatus

if TYPE_CHECKING:
    from runfold.producers.client import Client

__all__ = ["Run", "current_run"]


class Run(Calls, Block):
    """A run to be used by `with` or `async with`; no method raises.

    It starts when the block is entered and ends when it is left: by an exception as a failure
    with its type and message, by a cancellation as cancelled, else as `status` was set. Runs that
    are started inside the block have it as their parent, also in other tasks begun there.
    """

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        *,
        run_id: str,
        agent_name: str | None,
        parent: Run | str | None,
        fields: dict[str, Any],
    ) -> None:
        self.run_id = run_id
        self._client = client
        self._recorder = recorder
        self._agent_name = agent_name
        self._parent = parent
        self._fields = fields
        self._status: str = RunStatus.SUCCESS.value
        self._trace_id = ""

    def event(self, /, event_type: str, **fields: Any) -> None:
        """Record an event of this run; see `EventType` for the usual types."""
        self.record(self.run_id, event_type, fields)

    def set(self, /, **fields: Any) -> None:
        """Record what became known of this run: a later value of a field replaces the earlier.

        A `status` is the one that the run ends with, unless it ends by an exception.
        """
        status = fields.pop("status", None)
        self._status = self._status if status is None else status
        if fields:
            self._recorder.record(self.run_id, EventType.RUN_UPDATED.value, fields)

    def run(self, /, agent_name: str | None = None, **fields: Any) -> Run:
        """Return a run of which this one is the parent."""
        return self._client.run(agent_name, **{"parent": self, **fields})

    @property
    def trace_id(self) -> str:
        """The trace that this run belongs to."""
        return self._trace_id or self._client.trace_of(self.run_id)

    def begin(self) -> None:
        """Record the start."""
        self._trace_id = self._client.begin_run(
            self.run_id, self._agent_name, self._parent, self._fields
        )
        self._scope = Scope(Place(self.run_id, self.trace_id))

    def end(self, error: BaseException | None = None) -> None:
        """Record the end, by `error` where there is one."""
        fields = {"status": self._status} if error is None else outcome_of(error)
        self._client.end_run(self.run_id, **fields)

    def _run_for(self, run_id: str | None) -> str:
        return self.run_id if run_id is None else run_id

    def trace_of(self, run_id: str) -> str:
        """Return this run's trace, or what the client knows of another's."""
        return self.trace_id if run_id == self.run_id else self._client.trace_of(run_id)
