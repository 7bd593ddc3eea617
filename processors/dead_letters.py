"""Sending what could not become an event to its own topic, with its bytes and the reason."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

import fastavro
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runfold.processors.run_table import DeadLetter
from runfold.schemas.codec.framing import written_header
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.topic import DEAD_LETTERS

_PATIENCE_SECONDS = 20.0


class DeadLetterSender:
    """Writes dead letters to Kafka. Used from one event loop; connects at the first letter."""

    def __init__(self, bootstrap: str, events_topic: str, topic: str = DEAD_LETTERS.name) -> None:
        self._bootstrap = bootstrap
        self._events_topic = events_topic
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._header = written_header("dead_letter")
        self._schema = latest("dead_letter").parsed

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return when every letter is acknowledged by the log.

        Delivery: at least once; key and value are a function of the record, so a letter that is
        sent again after a crash is told by its key.
        Raises: BrokerUnavailable (retry).
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                producer = await self._connected()
                sent = [
                    await producer.send(self._topic, key=self._key(each), value=self._encode(each))
                    for each in letters
                ]
                await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise BrokerUnavailable(
                f"{len(letters)} dead letters not taken by topic {self._topic}: {error!r}"
            ) from error

    async def close(self) -> None:
        """Give up the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

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

    def _key(self, letter: DeadLetter) -> bytes:
        return f"{self._events_topic}/{letter.log.partition}/{letter.offset}".encode()

    def _encode(self, letter: DeadLetter) -> bytes:
        stream = io.BytesIO()
        stream.write(self._header)
        record = {
            "topic": self._events_topic,
            "topic_id": letter.log.topic_id,
            "partition": letter.log.partition,
            "offset": letter.offset,
            "recorded_at": letter.recorded_at,
            "reason": letter.reason,
            "message": letter.message,
            "key": letter.key,
            "value": letter.value,
            "headers": [],
        }
        fastavro.schemaless_writer(stream, self._schema, record)
        return stream.getvalue()
