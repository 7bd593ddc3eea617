"""What a journal needs while it is written, whether or not the broker is there."""

from __future__ import annotations

import asyncio
import os

from runfold.producers.debug import explain
from runfold.producers.journal_folder import remove_folder
from runfold.producers.journal_reader import JournalReader
from runfold.producers.orphans import drop_oldest_orphans
from runfold.producers.outbox import Outbox
from runfold.producers.shipping import JournalShipping

_EVERY_SECONDS = 1.0
_SLOWER_EVERY = 5


class JournalUpkeep:
    """Keeps a process's journal within its size, on the disk and in its folder.

    Runs in the shipper's loop, beside the shipping, so it works through an outage.
    """

    def __init__(self, outbox: Outbox, shipping: JournalShipping) -> None:
        self._outbox = outbox
        self._shipping = shipping
        self._puts_seen = 0

    async def run(self) -> None:
        """Look after the journal every second in which something was recorded, for ever."""
        turn = 0
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            turn += 1
            if self._outbox.put_count == self._puts_seen:
                continue
            try:
                self._look_after()
                if turn % _SLOWER_EVERY == 0:
                    self._puts_seen = self._outbox.put_count
                    self._look_after_all()
            except OSError as error:
                explain("the journal cannot be looked after", error)

    def nothing_left(self) -> bool:
        """Say whether all that was put is in the log or declared there."""
        mark = self._outbox.mark()
        at_end = self._shipping.reader.position >= mark.end
        in_memory = len(self._outbox.overflow) or self._outbox.overflow.has_dropped
        return at_end and not in_memory and not self._shipping.declarations.pending()

    def remove_shipped_journal(self) -> None:
        """Delete the journal unless something was put meanwhile; the outbox is closed then."""
        with self._outbox.lock:
            if not self.nothing_left():
                return
            try:
                if self._outbox.folder.exists():
                    remove_folder(self._outbox.folder)
            except OSError as error:
                explain("the shipped journal cannot be deleted", error)
            self._outbox.close()

    def keep_declared(self) -> None:
        """Write down what memory had to drop, to be declared."""
        with self._outbox.lock:
            dropped = self._outbox.overflow.take_dropped()
        if dropped:
            self._shipping.declarations.declare(dropped, reason="memory_full")

    def _look_after(self) -> None:
        self.keep_declared()
        limits, journal = self._outbox.limits, self._outbox.journal
        if journal is not None:
            if not journal.folder.exists():
                self._replace_folder()
                return
            self._shipping.drop_oldest(limits.total_bytes)
            with self._outbox.lock:
                journal.check_size()

    def _replace_folder(self) -> None:
        """Go on in a new folder: someone deleted the journal, and wanted it gone."""
        explain("the journal's folder was deleted")
        self._outbox.reopen()
        self._shipping.reader.close()
        self._shipping.reader = JournalReader(self._outbox.folder, live=True)

    def _look_after_all(self) -> None:
        """Bring the journal to the disk, and make room in the folder of all journals."""
        limit_bytes = self._outbox.limits.total_bytes
        drop_oldest_orphans(self._outbox.root, limit_bytes, self._shipping.counts)
        with self._outbox.lock:
            journal = self._outbox.journal
            descriptor = journal.another_descriptor() if journal is not None else -1
        if descriptor >= 0:
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
