"""A log that goes on taking events while Kafka is down: into a journal on this machine.

The journal is a client's (`docs/journal-format.md`), so `runfold ship` can bring it to the log too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import structlog

from runfold.producers.backoff import Backoff
from runfold.producers.collector.log_writer import LogWriter, Placed
from runfold.producers.collector.records import Record
from runfold.producers.identity import ProcessIdentity
from runfold.producers.journal import Journal, JournalLimits
from runfold.producers.journal_folder import Owner, journals_below, remove_folder
from runfold.producers.journal_publisher import JournalPublisher, letter_line
from runfold.producers.orphans import ship_orphan
from runfold.producers.shipping import JournalShipping, ShippedCounts
from runfold.schemas.codec.decoder import decode
from runfold.schemas.codec.framing import EVENT_FRAMING
from runfold.schemas.errors import BrokerUnavailable, CollectorBusy
from runfold.schemas.topic import EVENTS

KEPT = Placed(-1, -1)
"""The place of an event that is in the journal, and will be in the log."""

_LIMITS = JournalLimits(total_bytes=4 * 1024**3)
_SHIPPING_PATIENCE = timedelta(seconds=15)
_LONGEST_PAUSE_SECONDS = 5.0


class JournalingLog(LogWriter):
    """Accepts events into a journal where Kafka does not take them, and ships it when it does.

    Delivery: what `accept` returned is in the log or on this machine's disk, synced. While the
    journal holds something all events go through it, so that they keep their order; the next
    process over `folder` ships what this one has left. Nothing is ever dropped: a journal that is
    full refuses.
    """

    def __init__(
        self,
        bootstrap: str,
        folder: Path,
        *,
        topic: str = EVENTS.name,
        patience: timedelta = timedelta(seconds=3),
    ) -> None:
        super().__init__(bootstrap, topic=topic, patience=patience)
        self._folder = folder
        self._journal: Journal | None = None
        self._shipping: JournalShipping | None = None
        self._writing = asyncio.Lock()
        self._behind = asyncio.Event()
        self._catching_up: asyncio.Task[None] | None = None
        self._counts = ShippedCounts()

    async def __aenter__(self) -> Self:
        if journals_below(self._folder):
            self._behind.set()
        self._catching_up = asyncio.create_task(self._catch_up())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
            with suppress(asyncio.CancelledError):
                await self._catching_up
        if self._journal is not None:
            self._journal.close()
        await super().__aexit__(kind, error, trace)

    async def connect(self) -> None:
        """Return when events can be taken. Raises: BrokerUnavailable (retry)."""
        try:
            await super().connect()
        except BrokerUnavailable:
            if not os.access(_existing(self._folder), os.W_OK):
                raise

    async def accept(self, records: Sequence[Record]) -> list[Placed]:
        """Return when all are in the log or, KEPT, in the journal; see `LogWriter.append`."""
        if not self._behind.is_set():
            try:
                return await self.append(records)
            except CollectorBusy:
                raise
            except BrokerUnavailable as error:
                self._fall_back(error)
        async with self._writing:
            if self._behind.is_set():
                return await self._keep(records)
        return await self.append(records)

    async def set_aside(self, letters: Sequence[Record]) -> None:
        """Return when dead letters are in their topic or in the journal; see `LogWriter`."""
        if not self._behind.is_set():
            try:
                return await super().set_aside(letters)
            except BrokerUnavailable as error:
                self._fall_back(error)
        async with self._writing:
            if self._behind.is_set():
                return await self._write([letter_line(*each) for each in letters])
        return await super().set_aside(letters)

    def _fall_back(self, error: BrokerUnavailable) -> None:
        structlog.get_logger(__name__).warning("events go to the journal", error=str(error))
        self._behind.set()

    async def _keep(self, records: Sequence[Record]) -> list[Placed]:
        await self._write([_line(value) for _, value in records])
        return [KEPT] * len(records)

    async def _write(self, lines: Sequence[bytes]) -> None:
        """Write lines and sync them. Raises: BrokerUnavailable (retry)."""
        try:
            journal = self._opened()
            for line in lines:
                journal.append(line)
            descriptor = journal.another_descriptor()
            try:
                await asyncio.to_thread(os.fsync, descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise BrokerUnavailable(
                f"Kafka at {self.bootstrap} is down, and the journal takes nothing: {error}"
            ) from error

    def _opened(self) -> Journal:
        if self._journal is None:
            token = ProcessIdentity().token
            owner = Owner(token, os.getpid(), self.bootstrap)
            self._journal = Journal(self._folder, owner, _LIMITS)
            self._shipping = JournalShipping(self._journal.folder, self._counts, live=True)
        return self._journal

    async def _catch_up(self) -> None:
        """Bring to the log what journals hold, whenever there is something, for ever."""
        backoff = Backoff(cap_seconds=_LONGEST_PAUSE_SECONDS)
        log = structlog.get_logger(__name__)
        while True:
            await self._behind.wait()
            try:
                await self._ship_all()
            except (BrokerUnavailable, OSError) as error:
                log.info("the journal waits for Kafka", error=str(error))
                await asyncio.sleep(backoff.next_seconds())
            else:
                backoff.reset()
                log.info("the journal is shipped", events=self._counts.shipped)

    async def _ship_all(self) -> None:
        publisher = JournalPublisher(self.bootstrap, topic=self.topic, patience=_SHIPPING_PATIENCE)
        async with publisher:
            for folder in journals_below(self._folder):
                if self._journal is None or folder != self._journal.folder:
                    await ship_orphan(folder, publisher, self._counts)
            await self._ship_own(publisher)
            async with self._writing:  # nobody adds to the rest, which is short
                await self._ship_own(publisher)
                self._remove_own()
                self._behind.clear()

    async def _ship_own(self, publisher: JournalPublisher) -> None:
        if self._shipping is None or self._journal is None:
            return
        while await self._shipping.ship_some(publisher):
            self._journal.check_size()

    def _remove_own(self) -> None:
        if self._shipping is not None and self._journal is not None:
            self._shipping.reader.close()
            remove_folder(self._journal.folder)
            self._journal.close()
            self._journal = self._shipping = None


def _line(value: bytes) -> bytes:
    """Return a record's event as a journal has it: with `attributes` as JSON, not as its text."""
    found = decode(value, EVENT_FRAMING)
    event = {name: each for name, each in found.items() if each is not None}
    if "attributes" in event:
        with suppress(ValueError, TypeError):  # no JSON, or nested too deep: the text that it is
            return orjson.dumps({**event, "attributes": orjson.loads(event["attributes"])}) + b"\n"
    return orjson.dumps(event) + b"\n"


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
