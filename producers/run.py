"""One run as an object: a context manager that starts and ends it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from runfold.producers.recorder import Recorder
from runfold.producers.tame import message_of
from runfold.schemas.vocabulary import EventType, RunStatus

if TYPE_CHECKING:
    from runfold.producers.client import Client

current_run: ContextVar[str | None] = ContextVar("runfold_current_run", default=None)
"""The id of the run that the present task or thread works in."""

_CANCELLING = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)


class Run:
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
        fields: dict[str, Any],
    ) -> None:
        self.run_id = run_id
        self._client = client
        self._recorder = recorder
        self._agent_name = agent_name
        self._fields = fields
        self._status: str = RunStatus.SUCCESS.value
        self._outer: Token[str | None] | None = None

    def event(self, /, event_type: str, **fields: Any) -> None:
        """Record an event of this run; see `Client.event`."""
        self._recorder.record(self.run_id, event_type, fields)

    def heartbeat(self) -> None:
        """Say that this run is alive; see `Client.heartbeat`."""
        self._client.heartbeat(self.run_id)

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
        return self._client.run(agent_name, **{"parent": self.run_id, **fields})

    def __enter__(self) -> Self:
        self._client.start_run(self._agent_name, **{**self._fields, "run_id": self.run_id})
        self._outer = current_run.set(self.run_id)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        if kind is None:
            self._client.end_run(self.run_id, self._status)
        else:
            cancelled = issubclass(kind, _CANCELLING)
            self._client.end_run(
                self.run_id,
                RunStatus.CANCELLED.value if cancelled else RunStatus.FAILURE.value,
                error_type=kind.__qualname__,
                error_message=message_of(error),
            )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _leave(self) -> None:
        outer, self._outer = self._outer, None
        if outer is not None:
            try:
                current_run.reset(outer)
            except ValueError:  # left in another context than it was entered in, as generators are
                current_run.set(outer.old_value if outer.old_value is not Token.MISSING else None)
