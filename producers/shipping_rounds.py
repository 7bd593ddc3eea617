"""What the shipper does in its loop: rounds over what there is to ship, through every outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

from runfold.producers.backoff import Backoff
from runfold.producers.debug import explain
from runfold.producers.heartbeats import Heartbeats
from runfold.producers.journal_folder import journals_below
from runfold.producers.journal_upkeep import JournalUpkeep
from runfold.producers.orphans import Orphan
from runfold.producers.outbox import Mark, Outbox
from runfold.producers.publisher import Publisher
from runfold.producers.shipping import JournalShipping, ShippedCounts
from runfold.schemas.errors import BrokerUnavailable, CollectorBusy

PublisherFactory = Callable[[], AbstractAsyncContextManager[Publisher]]
"""Opens a publisher. Entering it raises BrokerUnavailable (retry) where the log is out of reach."""

_POLL_SECONDS = 0.05
_IDLE_POLL_SECONDS = 0.2
_IDLE_AFTER_SECONDS = 5.0
_STOPPING_PAUSE_SECONDS = 0.1
_ORPHANS_EVERY_SECONDS = 15.0
_MANY_LINES = 1000


class ShippingRounds:
    """Ships the outbox's journal, what waits in memory, drops, and the journals of orphans, and
    lets the heart of open runs beat.

    All of it runs in the shipper's loop except `has_reached`, which any thread may ask, and
    `stopping`, which any thread may set.
    """

    def __init__(
        self,
        outbox: Outbox,
        open_publisher: PublisherFactory,
        *,
        heartbeats: Heartbeats,
        counts: ShippedCounts,
        note_progress: Callable[[], None],
    ) -> None:
        self.stopping = False
        self._outbox = outbox
        self._open_publisher = open_publisher
        self._heartbeats = heartbeats
        self._counts = counts
        self._note_progress = note_progress
        self._shipping = JournalShipping(
            outbox.folder, counts, live=True, agent_is_busy=self._agent_is_busy
        )
        self._upkeep = JournalUpkeep(outbox, self._shipping)
        self._backoff = Backoff()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._orphan: Orphan | None = None
        self._orphans_due_at = 0.0
        self._idle_at = 0.0
        self._puts_seen = 0

    async def run(self) -> None:
        """Ship until `stopping` is set and nothing is left, or until `give_up`."""
        self._task = asyncio.current_task()
        upkeep = asyncio.create_task(self._upkeep.run())
        try:
            while not (self.stopping and self._upkeep.nothing_left()):
                await self._connect_and_ship()
            self._upkeep.remove_shipped_journal()
        except asyncio.CancelledError:
            explain("what is not shipped stays in the journal")
        finally:
            upkeep.cancel()
            self._shipping.reader.close()
            if self._orphan is not None:
                self._orphan.release()

    def wake(self) -> None:
        """Start the next round now."""
        self._woken.set()

    def give_up(self) -> None:
        """End `run` at once; what is left stays in the journal."""
        if self._task is not None:
            self._task.cancel()

    def has_reached(self, mark: Mark) -> bool:
        """Say whether everything before `mark` is in the log, or declared lost."""
        in_memory = self._outbox.overflow.first_number < mark.memory
        return self._shipping.reader.position >= mark.end and not in_memory

    async def _connect_and_ship(self) -> None:
        try:
            async with self._open_publisher() as publisher:
                await self._ship_until_stopped(publisher)
        except (BrokerUnavailable, OSError) as error:
            await self._pause_after(error)
        except Exception as error:  # noqa: BLE001  the thread's edge: it must outlive every defect
            self._counts.errors += 1
            await self._pause_after(error)

    async def _ship_until_stopped(self, publisher: Publisher) -> None:
        while True:
            self._upkeep.keep_declared()
            lines = await self._shipping.ship_some(publisher)
            lines += await self._ship_memory(publisher)
            if lines < _MANY_LINES and not self.stopping:
                lines += await self._ship_orphan(publisher)
            if lines:
                self._backoff.reset()
                self._idle_at = time.monotonic() + _IDLE_AFTER_SECONDS
            self._note_progress()
            if not self.stopping:
                self._heartbeats.beat(time.monotonic())
            if self.stopping and not lines:
                return
            if lines < _MANY_LINES and not self.stopping:
                idle = time.monotonic() > self._idle_at
                await self._pause(_IDLE_POLL_SECONDS if idle else _POLL_SECONDS)

    async def _ship_memory(self, publisher: Publisher) -> int:
        with self._outbox.lock:
            waiting = self._outbox.overflow.peek(_MANY_LINES)
        if waiting:
            await self._shipping.ship_lines([each.line for each in waiting], publisher)
            with self._outbox.lock:
                self._outbox.overflow.forget(len(waiting))
        return len(waiting)

    async def _ship_orphan(self, publisher: Publisher) -> int:
        if self._orphan is None and time.monotonic() >= self._orphans_due_at:
            self._orphan = self._claim_orphan()
        if self._orphan is None:
            return 0
        lines = await self._orphan.ship_some(publisher)
        if not lines:
            self._orphan = None
        return lines

    def _claim_orphan(self) -> Orphan | None:
        """Return an orphan whose events go to the same broker as this process's."""
        for folder in journals_below(self._outbox.root):
            orphan = Orphan.claim(folder, self._counts)
            if orphan is not None:
                owner = orphan.owner
                if owner is None or owner.broker == self._outbox.broker:
                    return orphan
                orphan.release()
        self._orphans_due_at = time.monotonic() + _ORPHANS_EVERY_SECONDS
        return None

    def _agent_is_busy(self) -> bool:
        before, self._puts_seen = self._puts_seen, self._outbox.put_count
        return before != self._puts_seen

    async def _pause_after(self, error: Exception) -> None:
        if isinstance(error, CollectorBusy) and error.retry_after:
            explain("shipping waits as it is asked to", error)
            await asyncio.sleep(error.retry_after.total_seconds())
            return
        wait = self._backoff.next_seconds()
        explain(f"shipping is tried again in {wait:.1f} s", error)
        await self._pause(min(wait, _STOPPING_PAUSE_SECONDS) if self.stopping else wait)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
