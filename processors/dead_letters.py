"""Sending what could not become an event to its own topic, with its bytes and the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runfold.processors.run_table import DeadLetter
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.kept_letter import (
    KeptLetter,
    RecordPlace,
    Resolution,
    write_letter,
    write_mark,
)
from runfold.schemas.record_batch import Headers
from runfold.schemas.topic import DEAD_LETTERS

_PATIENCE_SECONDS = 20.0
_NO_HEADERS: Headers = ()


class DeadLetterSender:
    """Writes dead letters to Kafka. Used from one event loop; connects at the first letter."""

    def __init__(self, bootstrap: str, events_topic: str, topic: str = DEAD_LETTERS.name) -> None:
        self._bootstrap = bootstrap
        self._events_topic = events_topic
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return when every letter is acknowledged by the log.

        Delivery: at least once; key and value are a function of the record, so a letter that is
        sent again after a crash is told by its key.
        Raises: BrokerUnavailable (retry).
        """
        kept = [self._kept(each) for each in letters]
        await self._send(
            "dead letters", [(each.place, write_letter(each), _NO_HEADERS) for each in kept]
        )

    async def mark(self, resolutions: Sequence[tuple[RecordPlace, Resolution]]) -> None:
        """Return when it is noted that these letters were resolved.

        Delivery: at least once. Raises: BrokerUnavailable (retry).
        """
        marks = [(place, None, write_mark(place, what)) for place, what in resolutions]
        await self._send("marks", marks)

    async def close(self) -> None:
        """Give up the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _send(
        self, what: str, records: Sequence[tuple[RecordPlace, bytes | None, Headers]]
    ) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                producer = await self._connected()
                sent = [
                    await producer.send(
                        self._topic, key=place.key.encode(), value=value, headers=headers
                    )
                    for place, value, headers in records
                ]
                await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise BrokerUnavailable(
                f"{len(records)} {what} not taken by topic {self._topic}: {error!r}"
            ) from error

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                enable_idempotence=True,
                max_request_size=DEAD_LETTERS.max_event_bytes,
            )
            await producer.start()
            self._producer = producer
        return self._producer

    def _kept(self, letter: DeadLetter) -> KeptLetter:
        log = letter.log
        return KeptLetter(
            RecordPlace(self._events_topic, log.topic_id, log.partition, letter.offset),
            letter.recorded_at,
            letter.reason,
            letter.message,
            letter.key,
            letter.value,
            letter.headers,
        )
