"""Keeps what clients sent and nobody could make an event of, among the dead letters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import NamedTuple

from runfold.producers.collector.records import Record
from runfold.producers.kafka_records import RecordSender
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.kept_letter import KeptLetter, RecordPlace, write_letter
from runfold.schemas.topic import DEAD_LETTERS, EVENTS

TOPIC_ID = "collector"
"""Stands in a letter where the id of the log would: the item was never in one."""

_FIRST_OFFSET = 9 * 10**17
_OFFSETS = 10**17
_MOST_BYTES = EVENTS.max_event_bytes


class SetAside(NamedTuple):
    """An item that can be no event.

    Shape: `source` is the API that it came by, `where` its place in the request; `reason` is a
    `DeadLetterReason`, `content` the item's bytes, `run_id` its run where that is known.
    """

    source: str
    where: str
    reason: str
    message: str
    content: bytes
    run_id: str | None = None


class LetterWriter:
    """Writes dead letters for many requests; connects at the first."""

    def __init__(self, bootstrap: str, patience: timedelta) -> None:
        self._bootstrap = bootstrap
        self._patience = patience
        self._sender: RecordSender | None = None
        self._connecting = asyncio.Lock()

    async def write(self, letters: Sequence[Record]) -> None:
        """Return when all are acknowledged.

        Delivery: at least once. Raises: BrokerUnavailable (retry).
        """
        try:
            sender = await self._connected()
            await sender.send((key, value, ()) for key, value in letters)
        except BrokerUnavailable:
            await self.close()
            raise

    async def close(self) -> None:
        """Give up the connection."""
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.__aexit__(None, None, None)

    async def _connected(self) -> RecordSender:
        async with self._connecting:
            if self._sender is None:
                sender = RecordSender(self._bootstrap, DEAD_LETTERS.name, patience=self._patience)
                self._sender = await sender.__aenter__()
            return self._sender


def letter_of(item: SetAside, topic: str) -> Record:
    """Return the record of an item's letter; one that is sent again is the same letter.

    Shape: `topic` is that of the events.
    """
    letter = _letter(item, topic)
    return letter.place.key.encode(), write_letter(letter)


def _letter(item: SetAside, topic: str) -> KeptLetter:
    """Return the letter of an item, which is named by a digest: it has no place in the log."""
    said = f"{item.source}\n{item.where}\n".encode("utf-8", "backslashreplace")
    digest = blake2b(said + item.content, digest_size=8).digest()
    offset = _FIRST_OFFSET + int.from_bytes(digest, "big") % _OFFSETS
    message, content = f"{item.source}, {item.where}: {item.message}", item.content
    if len(content) > _MOST_BYTES:
        message += f" (the first {_MOST_BYTES} of {len(content)} bytes are kept)"
        content = content[:_MOST_BYTES]
    return KeptLetter(
        RecordPlace(topic, TOPIC_ID, 0, offset),
        time.time_ns() // 1000,
        item.reason,
        message.encode("utf-8", "backslashreplace").decode(),
        None if item.run_id is None else item.run_id.encode("utf-8", "backslashreplace"),
        content,
        (("runfold.source", item.source.encode()),),
    )
