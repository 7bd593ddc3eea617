"""The run that a client's calls belong to."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

from runfold.producers.client import Client
from runfold.producers.context import current_run
from runfold.producers.fork import watch_forks
from runfold.producers.privacy import Privacy


@functools.cache
def shared_client() -> Client:
    """Return the client that all sessions of this process record with, unless given another.

    It names no host, as the published SDK did not, and takes out secrets of forms that the SDK's
    own rules do not know.
    """
    return Client(privacy=Privacy(content=True), host=None)


class Session:
    """One run for all calls of one client, begun by the first of them.

    A call made inside a `with` block of another run belongs to that run. The session's own run ends
    when the client is disabled or dropped, or the interpreter exits. A forked child has a run of
    its own, with its parent's as parent.
    """

    def __init__(self, open_client: Callable[[], Client], profile: dict[str, Any]) -> None:
        self._open_client = open_client
        self._profile = profile
        self._lock = threading.Lock()
        self._run_id: str | None = None
        self._outer: str | None = None
        watch_forks(self)

    @property
    def client(self) -> Client:
        """The runfold client behind it."""
        return self._open_client()

    def record(self, event_type: str, fields: dict[str, Any]) -> None:
        """Record an event of the current run, else of the session's."""
        run_id = current_run.get() or self._run_id or self._begin()
        self.client.event(run_id, event_type, **fields)

    def flush(self, timeout_seconds: float) -> None:
        """Wait, so long at most, until what was recorded is in the log."""
        self.client.flush(timeout_seconds)

    def end(self) -> None:
        """End the session's run; the next call begins another."""
        with self._lock:
            run_id, self._run_id = self._run_id, None
        if run_id is not None:
            self.client.end_run(run_id)

    def after_fork_in_child(self) -> None:
        """Leave the run to the parent process."""
        self._lock = threading.Lock()
        self._run_id, self._outer = None, self._run_id

    def _begin(self) -> str:
        with self._lock:
            if self._run_id is None:
                self._run_id = self.client.start_run(**self._profile, parent=self._outer)
            return self._run_id


def end_with(owner: object, session: Session) -> None:
    """End `session` when `owner` is dropped or the interpreter exits."""
    weakref.finalize(owner, session.end)
