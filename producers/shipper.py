"""The thread that moves what the agent recorded into the log, whatever happens to the broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from runfold.producers.debug import explain
from runfold.producers.heartbeats import Heartbeats
from runfold.producers.outbox import Mark, Outbox
from runfold.producers.shipper_loop import new_event_loop
from runfold.producers.shipping import ShippedCounts
from runfold.producers.shipping_rounds import PublisherFactory, ShippingRounds


class Shipper:
    """A daemon thread with an event loop of its own, one for each outbox.

    `start` is called when there is something to ship; `stop` ends the thread. Everything else may
    be called from any thread.
    """

    def __init__(
        self, outbox: Outbox, open_publisher: PublisherFactory, heartbeats: Heartbeats
    ) -> None:
        self.counts = ShippedCounts()
        self.has_ended = False
        self._rounds = ShippingRounds(
            outbox,
            open_publisher,
            heartbeats=heartbeats,
            counts=self.counts,
            note_progress=self._note_progress,
        )
        self._progress = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="runfold-shipper", daemon=True)

    def start(self) -> None:
        """Start the thread. Raises: RuntimeError where the system gives no more threads."""
        try:
            self._thread.start()
        except RuntimeError:
            self.has_ended = True
            raise

    def wait_until(self, mark: Mark, timeout_seconds: float) -> bool:
        """Wait until everything before `mark` is in the log; say whether it is."""
        self._wake()
        with self._progress:
            return self._progress.wait_for(
                lambda: self._rounds.has_reached(mark) or self.has_ended,
                timeout_seconds,
            ) and self._rounds.has_reached(mark)

    def stop(self, timeout_seconds: float) -> None:
        """End the thread when nothing is left to ship, or give up at the timeout."""
        self._rounds.stopping = True
        self._wake()
        self._thread.join(timeout_seconds)
        if self._thread.is_alive() and self._loop is not None:
            self._call_in_loop(self._rounds.give_up)
            self._thread.join(0.2)

    def _wake(self) -> None:
        self._call_in_loop(self._rounds.wake)

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(callback)
            except RuntimeError:
                return  # it was closed at this very moment: the thread has ended

    def _note_progress(self) -> None:
        with self._progress:
            self._progress.notify_all()

    def _run(self) -> None:
        try:
            self._loop = new_event_loop()
            self._loop.run_until_complete(self._rounds.run())
            self._loop.close()
        except Exception as error:  # noqa: BLE001  the thread's edge: nothing may reach stderr
            self.counts.errors += 1
            explain("the shipper has ended", error)
        self.has_ended = True
        self._note_progress()
