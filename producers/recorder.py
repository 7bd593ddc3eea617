"""Recording events for any number of runs, and the life of the outbox and the shipper behind it."""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from runfold.producers.debug import explain
from runfold.producers.event_line import line_prefix, line_rest
from runfold.producers.fork import watch_forks
from runfold.producers.heartbeats import Heartbeats
from runfold.producers.journal import JournalLimits
from runfold.producers.outbox import Outbox, RunLine
from runfold.producers.privacy import PrivateLines
from runfold.producers.shipping import ShippedCounts
from runfold.producers.tame import ALTERED, is_id, tame_fields, tame_id
from runfold.schemas.vocabulary import EventType

if TYPE_CHECKING:
    from runfold.producers.shipper import Shipper
    from runfold.producers.shipping_rounds import PublisherFactory

_RUNS_KEPT = 5_000
AT_EXIT_SECONDS = 2.0
ALTERED_BYTES = ALTERED.encode()
_STARTED, _ENDED = EventType.RUN_STARTED.value, EventType.RUN_ENDED.value


@dataclass(frozen=True, slots=True)
class ClientCounts:
    """What became of the events of this process.

    `recorded` were taken in; `waiting` of them are in memory because the journal cannot be
    written; `shipped` are in the log, orphans' included; `rejected` can never be sent and are kept
    in `rejected.ndjson`; `dropped` are lost for want of room; both are declared in the log.
    `tamed` were altered to be kept, which their attributes tell; `failed` calls recorded nothing,
    `torn` lines have no end.
    """

    recorded: int = 0
    waiting: int = 0
    shipped: int = 0
    rejected: int = 0
    dropped: int = 0
    torn: int = 0
    tamed: int = 0
    failed: int = 0


class Recorder:
    """Records events; no method raises. Thread-safe, and begins anew in a forked child.

    A run that is used again after 5,000 to 10,000 others is numbered by a new producer.
    """

    def __init__(
        self,
        journal_dir: Path,
        *,
        broker: str | None,
        limits: JournalLimits,
        open_publisher: PublisherFactory,
        heartbeat_seconds: float | None = None,
        private: PrivateLines | None = None,
    ) -> None:
        self._new_outbox: Callable[[], Outbox] = lambda: Outbox(
            journal_dir, broker=broker, limits=limits
        )
        self._open_publisher = open_publisher
        self._heartbeat_seconds = heartbeat_seconds
        self._private = private
        self._line_rest = line_rest if private is None else private.rest
        self._begin_anew()
        self._tamed = 0
        self._failed = 0
        watch_forks(self)
        _recorders.add(self)

    def record(
        self, run_id: str, event_type: str, given: dict[str, Any], *, agent_name: str | None = None
    ) -> None:
        """Take one event in; `agent_name` names the run's agent where this is its first event."""
        try:
            rest = self._line_rest(event_type, given)
            run = self._runs.get(run_id) or self._open_run(run_id, agent_name)
            self._put(run, event_type, rest)
        except Exception as error:  # noqa: BLE001  the agent's own objects may raise anything
            self._record_tamed(run_id, event_type, given, agent_name=agent_name, error=error)

    def refuse(self, event_type: str) -> None:
        """Count an event that belongs to no run."""
        self._failed += 1
        explain(f"{event_type} was called outside of a run, and without a run_id")

    def elapsed_ms(self, run_id: str) -> float | None:
        """Return milliseconds since this process first recorded something of the run."""
        run = (self._runs.get(run_id) or self._older.get(run_id)) if is_id(run_id) else None
        return None if run is None else (time.perf_counter_ns() - run.opened_ns) / 1e6

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that was recorded before is in the log; say whether it is."""
        shipper = self._shipper
        try:
            return shipper is None or shipper.wait_until(self._outbox.mark(), timeout_seconds)
        except Exception as error:  # noqa: BLE001  nothing may reach the agent
            explain("flush has failed", error)
            return False

    def close(self, timeout_seconds: float) -> None:
        """Ship what is left, within the timeout; the rest stays in the journal for another."""
        shipper, outbox = self._shipper, self._outbox
        self._begin_anew()
        try:
            if shipper is not None:
                shipper.stop(timeout_seconds)
        except Exception as error:  # noqa: BLE001  nothing may reach the agent
            explain("close has failed", error)
        outbox.close()

    @property
    def counts(self) -> ClientCounts:
        """What became of the events since the recorder was opened, forked or closed last."""
        outbox, shipper = self._outbox, self._shipper
        shipped = shipper.counts if shipper is not None else ShippedCounts()
        return ClientCounts(
            recorded=outbox.put_count,
            waiting=len(outbox.overflow),
            shipped=shipped.shipped,
            rejected=shipped.rejected,
            dropped=shipped.dropped + outbox.overflow.dropped_count,
            torn=shipped.torn,
            tamed=self._tamed,
            failed=self._failed,
        )

    def after_fork_in_child(self) -> None:
        """Leave outbox and shipper to the parent; the child writes a journal of its own."""
        _of_parents.append((self._outbox, self._shipper))
        self._outbox.abandon()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._outbox = self._new_outbox()
        self.mint_run_id = self._outbox.identity.mint_run_id
        self._next_producer = self._outbox.identity.next_producer
        self.mint_span_id = self._outbox.identity.mint_span_id
        self._heartbeats = Heartbeats(self._outbox, self._heartbeat_seconds)
        self._shipper: Shipper | None = None
        self._runs: dict[str, RunLine] = {}
        self._older: dict[str, RunLine] = {}

    def _record_tamed(
        self,
        run_id: object,
        event_type: object,
        given: dict[str, Any],
        *,
        agent_name: object,
        error: Exception,
    ) -> None:
        """Record what was too wild to record as it is."""
        explain("an event holds values that need care", error)
        try:
            kind = tame_id(event_type)
            rest = self._line_rest(kind, tame_fields(given))
            name = None if agent_name is None else tame_id(agent_name)
            run = tame_id(run_id)
            self._tamed += ALTERED_BYTES not in rest
            self._put(self._runs.get(run) or self._open_run(run, name), kind, rest)
        except Exception as failure:  # noqa: BLE001  nothing may reach the agent
            self._failed += 1
            explain("an event is lost", failure)

    def _put(self, run: RunLine, event_type: str, rest: bytes) -> None:
        if event_type == _STARTED:
            self._heartbeats.opened(run)
        elif event_type == _ENDED:
            self._heartbeats.ended(run)
        if not self._outbox.put(run, rest):
            self._outbox.put(run, rest)  # it was closed just now, and there is a new one
        if ALTERED_BYTES in rest:
            self._tamed += 1
        if self._shipper is None:
            self._start_shipper()

    def _start_shipper(self) -> None:
        if sys.is_finalizing():
            return  # a destructor's event: no thread would run any more, the journal has it
        with self._outbox.lock:
            if self._shipper is None:
                from runfold.producers.shipper import Shipper  # brings asyncio, for the first event

                shipper = Shipper(self._outbox, self._open_publisher, self._heartbeats)
                self._shipper = shipper
                try:
                    shipper.start()
                except RuntimeError as error:
                    explain("no thread to ship with, events stay in the journal", error)

    def _open_run(self, run_id: str, agent_name: str | None) -> RunLine:
        run = self._older.get(run_id) or self._new_run(run_id, agent_name)
        run = self._runs.setdefault(run_id, run)  # another thread may have been quicker
        if len(self._runs) >= _RUNS_KEPT:
            self._runs, self._older = {}, self._runs
        if self._shipper is not None and self._shipper.has_ended:
            self._shipper = None  # the next event starts another
        return run

    def _new_run(self, run_id: str, agent_name: str | None) -> RunLine:
        if not is_id(run_id):
            raise TypeError("an id is a text of 1 to 512 characters")
        name = run_id
        if self._private is not None:
            name = self._private.name(run_id)
            agent_name = None if agent_name is None else self._private.name(agent_name)
        producer = self._next_producer()
        return RunLine(name, producer, line_prefix(name, producer, agent_name))


_recorders: WeakSet[Recorder] = WeakSet()
_of_parents: list[tuple[Outbox, Shipper | None]] = []
"""Kept for ever in a forked child: to free them would close what the parent still uses."""


@atexit.register
def _close_all() -> None:
    deadline = time.monotonic() + AT_EXIT_SECONDS
    for recorder in list(_recorders):
        recorder.close(max(deadline - time.monotonic(), 0.0))
