"""Where every event of this process goes first: its journal, else memory."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from runfold.producers.debug import explain
from runfold.producers.identity import ProcessIdentity
from runfold.producers.journal import Journal, JournalLimits
from runfold.producers.journal_folder import Owner, Position
from runfold.producers.overflow import Overflow, WaitingLine

_RETRY_SECONDS = 1.0


class RunLine:
    """What every line of one run begins with, and the number of its last event."""

    __slots__ = ("opened_ns", "prefix", "producer", "run_id", "sequence")

    def __init__(self, run_id: str, producer: str, prefix: bytes) -> None:
        self.run_id = run_id
        self.producer = producer
        self.prefix = prefix
        self.sequence = 0
        self.opened_ns = time.perf_counter_ns()


@dataclass(frozen=True, slots=True)
class Mark:
    """Behind everything put so far: the end of the journal and the number of lines in memory."""

    end: Position
    memory: int


class Outbox:
    """Takes events from any thread and keeps each as well as the machine allows.

    The lock can be entered again by its own thread, since a signal handler or a destructor may
    record an event in the middle of another one.
    """

    def __init__(self, root: Path, *, broker: str | None, limits: JournalLimits) -> None:
        self.root = root
        self.broker = broker
        self.limits = limits
        self.identity = ProcessIdentity()
        self.lock = threading.RLock()
        self.journal: Journal | None = None
        self.overflow = Overflow(limits.memory_bytes)
        self.put_count = 0
        self._closed = False
        self._retry_at: float | None = 0.0  # None while the journal takes what it gets

    @property
    def folder(self) -> Path:
        """The journal's folder; not there before the first event, or where it cannot be made."""
        return self.root / self.identity.token

    def put(self, run: RunLine, rest: bytes) -> bool:
        """Number and keep one event of `run`; False, with nothing done, after `close`.

        Shape: `rest` is the event's line from behind the sequence in its id on.
        """
        with self.lock:
            journal = self.journal if self._retry_at is None else self._recovered_journal()
            if self._closed:
                return False
            run.sequence = sequence = run.sequence + 1
            line = b"%b%d%b" % (run.prefix, sequence, rest)
            self.put_count += 1
            if journal is not None:
                try:
                    journal.append(line)
                except OSError as error:
                    self._fail(error)
                else:
                    return True
            self.overflow.keep(WaitingLine(line, run.run_id, run.producer, sequence))
            return True

    def mark(self) -> Mark:
        """Return a mark behind everything put so far."""
        with self.lock:
            end = self.journal.end if self.journal else Position(0, 0)
            return Mark(end, self.overflow.taken_in)

    def reopen(self) -> None:
        """Write to a new folder from now on: the present one is gone."""
        with self.lock:
            if not self._closed:
                self.abandon()
                self._closed, self._retry_at = False, 0.0

    def close(self) -> None:
        """Take no more events, and let another process ship what is left."""
        with self.lock:
            self.abandon()

    def abandon(self) -> None:
        """Close without asking for the lock, which in a forked child no one may ever release."""
        self._closed, self._retry_at = True, 0.0
        journal, self.journal = self.journal, None
        if journal is not None:
            journal.close()

    def _recovered_journal(self) -> Journal | None:
        """Return the journal where it is time to try it again, opened if need be."""
        now = time.monotonic()
        if self._closed or self._retry_at is None or now < self._retry_at:
            return None
        if self.journal is None:
            owner = Owner(self.identity.token, os.getpid(), self.broker)
            try:
                self.journal = Journal(self.root, owner, self.limits)
            except OSError as error:
                self._fail(error)
                return None
        self._retry_at = None
        return self.journal

    def _fail(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        explain("the journal cannot be written, events are kept in memory", error)
