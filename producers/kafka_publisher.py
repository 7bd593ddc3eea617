"""A publisher that writes to Kafka, a batch for each partition at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from runfold.producers.kafka_errors import broker_errors, unavailable
from runfold.producers.kafka_producer import Partitioner, discard_producer, open_producer
from runfold.producers.publisher import EventFields, Refused, within_limit
from runfold.schemas.codec.confluent import RegistryIds
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.framing import confluent_header
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.topic import EVENTS

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from aiokafka.producer.message_accumulator import BatchBuilder

_LINGER_SECONDS = 0.01
_KNOWN_RUNS = 65_536


class KafkaPublisher:
    """Publishes events with `acks=all` by an idempotent producer; an async context manager.

    Delivery: at least once; the events of one run keep their order. Leaving the context flushes.
    Units: `patience` is how long a broker may take to answer or to come back before the events
    handed over are given up and BrokerUnavailable is raised.
    Shape: with the URL of a `schema_registry` the schema is registered there when the publisher
    connects, as `<topic>-value`, and records are framed with its id.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        topic: str = EVENTS.name,
        patience: timedelta = timedelta(seconds=30),
        schema_registry: str | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._schema_registry = schema_registry
        self._topic = topic
        self._patience = patience
        self._encode = SparseEncoder(latest("event"))
        self._producer: AIOKafkaProducer | None = None
        self._partition_of: Partitioner
        self._places: dict[str, tuple[int, bytes]] = {}
        self._open: dict[int, BatchBuilder] = {}
        self._sent: set[asyncio.Future[object]] = set()
        self._failure: BrokerUnavailable | None = None
        self._submitting = asyncio.Lock()
        self._linger: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises: BrokerUnavailable, RegistryUnavailable (retry)."""
        if self._schema_registry is not None:
            ids = RegistryIds(self._schema_registry, "event")
            schema_id = await asyncio.to_thread(ids.register, f"{self._topic}-value")
            self._encode = SparseEncoder(latest("event"), confluent_header(schema_id))
        await self._connected()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            await self._discard()

    async def publish(self, event: EventFields) -> None:
        """Hand over one event; see `Publisher`."""
        if self._failure is not None:
            raise self._failure
        value = within_limit(self._encode(event))
        producer = self._producer or await self._connected()
        run_id = event["run_id"]
        partition, key = self._places.get(run_id) or self._place(run_id)
        while not self._append(producer, partition, key, value):
            async with self._submitting:
                await self._submit(producer, partition)
            if self._failure is not None:
                raise self._failure

    async def flush(self) -> Refused:
        """Return when all is acknowledged; see `Publisher`."""
        if self._producer is not None and self._failure is None:
            await self._submit_open(self._producer)
            if self._sent:
                _, late = await asyncio.wait(self._sent, timeout=self._patience.total_seconds())
                if late:
                    seconds = self._patience.total_seconds()
                    self._fail(TimeoutError(f"nothing acknowledged within {seconds:g} s"))
        failure, self._failure = self._failure, None
        if failure is not None:
            await self._discard()
            raise failure
        return {}

    async def _connected(self) -> AIOKafkaProducer:
        producer, self._partition_of = await open_producer(
            self._bootstrap, topic=self._topic, patience=self._patience
        )
        self._producer = producer
        self._places.clear()
        return producer

    async def _discard(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            await asyncio.wait({self._linger})
        producer, self._producer, self._linger = self._producer, None, None
        self._open.clear()
        if producer is not None:
            await discard_producer(producer)
        self._sent.clear()
        self._failure = None

    def _place(self, run_id: str) -> tuple[int, bytes]:
        if len(self._places) >= _KNOWN_RUNS:
            self._places.clear()
        key = run_id.encode()
        place = self._places[run_id] = (self._partition_of(key), key)
        return place

    def _append(self, producer: AIOKafkaProducer, partition: int, key: bytes, value: bytes) -> bool:
        builder = self._open.get(partition)
        if builder is None:
            builder = self._open[partition] = producer.create_batch()
            if self._linger is None:
                self._linger = asyncio.create_task(self._submit_after_linger(producer))
        return builder.append(timestamp=None, key=key, value=value) is not None

    async def _submit_after_linger(self, producer: AIOKafkaProducer) -> None:
        while self._open:
            await asyncio.sleep(_LINGER_SECONDS)
            await self._submit_open(producer)
        self._linger = None

    async def _submit_open(self, producer: AIOKafkaProducer) -> None:
        for partition in list(self._open):
            async with self._submitting:
                await self._submit(producer, partition)

    async def _submit(self, producer: AIOKafkaProducer, partition: int) -> None:
        """Hand the open batch of `partition` to the producer; under the lock, which keeps order."""
        builder = self._open.pop(partition, None)
        if builder is None:
            return
        builder.close()
        try:
            with broker_errors(self._bootstrap):
                sent = await producer.send_batch(builder, self._topic, partition=partition)
        except BrokerUnavailable as error:
            self._failure = self._failure or error
            return
        self._sent.add(sent)
        sent.add_done_callback(self._acknowledged)

    def _acknowledged(self, sent: asyncio.Future[object]) -> None:
        self._sent.discard(sent)
        error = None if sent.cancelled() else sent.exception()
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or unavailable(self._bootstrap, error)
