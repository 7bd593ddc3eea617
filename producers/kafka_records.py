"""Records sent to Kafka as they are: no publisher would encode what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from runfold.producers.kafka_errors import broker_errors
from runfold.producers.kafka_producer import discard_producer, open_producer
from runfold.schemas.record_batch import Headers

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer


class RecordSender:
    """Sends keys, values and headers to one topic; an async context manager.

    Units: `patience` is how long a broker may take to answer.
    """

    def __init__(
        self, bootstrap: str, topic: str, *, patience: timedelta = timedelta(seconds=30)
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._patience = patience
        self._producer: AIOKafkaProducer

    async def __aenter__(self) -> Self:
        """Connect. Raises: BrokerUnavailable (retry)."""
        self._producer, _ = await open_producer(
            self._bootstrap, topic=self._topic, patience=self._patience
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await discard_producer(self._producer)

    async def send(self, records: Iterable[tuple[bytes | None, bytes | None, Headers]]) -> None:
        """Return when all are acknowledged by the log; records of one key keep their order.

        Delivery: at least once. Raises: BrokerUnavailable (retry).
        """
        with broker_errors(self._bootstrap):
            async with asyncio.timeout(self._patience.total_seconds()):
                sent = [
                    await self._producer.send(self._topic, value, key=key, headers=list(headers))
                    for key, value, headers in records
                ]
                await asyncio.gather(*sent)
