"""Puts records into Kafka for many requests at once, and says where each came to lie."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from runfold.producers.collector.letters import LetterWriter
from runfold.producers.collector.records import Record
from runfold.producers.kafka_errors import broker_errors, unavailable
from runfold.producers.kafka_producer import Partitioner, discard_producer, open_producer
from runfold.schemas.errors import BrokerUnavailable, CollectorBusy
from runfold.schemas.topic import EVENTS

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer
    from aiokafka.producer.message_accumulator import BatchBuilder

_LINGER_SECONDS = 0.002
_RETRY_AFTER = timedelta(seconds=1)


class Placed(NamedTuple):
    """Where an acknowledged record lies in the log."""

    partition: int
    offset: int


@dataclass(slots=True, eq=False)
class _OpenBatch:
    """A batch that requests still add to; `first_offset` comes with the acknowledgement."""

    partition: int
    builder: BatchBuilder
    first_offset: asyncio.Future[int]
    records: int = 0


@dataclass(slots=True)
class _Connection:
    producer: AIOKafkaProducer
    partition_of: Partitioner
    open: dict[int, _OpenBatch] = field(default_factory=dict)
    last: dict[int, _OpenBatch] = field(default_factory=dict)
    sending: set[asyncio.Task[None]] = field(default_factory=set)


class LogWriter:
    """Appends records with `acks=all`, those of all requests together; an async context manager.

    Delivery: at least once. What `append` returned is in the log. Where it raises, all or part of
    it may be there or come later, so it is sent again under the same ids.
    Units: `patience` is how long Kafka may take to acknowledge before a request is told to come
    back; `most_waiting_bytes` what may wait for Kafka at once, over all requests.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        topic: str = EVENTS.name,
        patience: timedelta = timedelta(seconds=3),
        most_waiting_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self._patience_seconds = patience.total_seconds()
        self._most_waiting_bytes = most_waiting_bytes
        self._letters = LetterWriter(bootstrap, patience)
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self.waiting_bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._letters.close()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        if self._connection is not None:
            connection, self._connection = self._connection, None
            if connection.sending:
                await asyncio.wait(connection.sending, timeout=self._patience_seconds)
            await discard_producer(connection.producer)

    async def connect(self) -> None:
        """Return when Kafka answers, asked anew each time. Raises: BrokerUnavailable (retry)."""
        connection = await self._connected()
        with broker_errors(self.bootstrap):
            async with asyncio.timeout(self._patience_seconds):
                await connection.producer.client.fetch_all_metadata()

    async def append(self, records: Sequence[Record]) -> list[Placed]:
        """Return when all are acknowledged: for each its place.

        Shape: records of one run keep their order, within a call and over calls that follow.
        Raises: CollectorBusy, BrokerUnavailable (retry).
        """
        size = sum(len(value) for _, value in records)
        if self.waiting_bytes and self.waiting_bytes + size > self._most_waiting_bytes:
            raise CollectorBusy("too much waits for Kafka already", _RETRY_AFTER)
        self.waiting_bytes += size
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await self._append(records)
        except TimeoutError as error:
            raise unavailable(
                self.bootstrap,
                TimeoutError(f"nothing acknowledged within {self._patience_seconds:g} s"),
            ) from error
        finally:
            self.waiting_bytes -= size

    async def accept(self, records: Sequence[Record]) -> list[Placed]:
        """Do as `append` does; a log that knows another way to keep records may take that."""
        return await self.append(records)

    async def set_aside(self, letters: Sequence[Record]) -> None:
        """Return when dead letters are kept. Raises: BrokerUnavailable (retry)."""
        await self._letters.write(letters)

    async def _append(self, records: Sequence[Record]) -> list[Placed]:
        connection = await self._connected()
        places = [self._add(connection, key, value) for key, value in records]
        for batch in {batch for batch, _ in places}:
            await asyncio.shield(batch.first_offset)
        return [Placed(batch.partition, batch.first_offset.result() + at) for batch, at in places]

    def _add(self, connection: _Connection, key: bytes, value: bytes) -> tuple[_OpenBatch, int]:
        partition = connection.partition_of(key)
        batch = connection.open.get(partition)
        if batch is None or batch.builder.append(timestamp=None, key=key, value=value) is None:
            batch = self._new_batch(connection, partition)
            batch.builder.append(timestamp=None, key=key, value=value)
        batch.records += 1
        return batch, batch.records - 1

    def _new_batch(self, connection: _Connection, partition: int) -> _OpenBatch:
        """Begin a batch; it is sent when the one before is acknowledged, so that order is kept."""
        loop = asyncio.get_running_loop()
        batch = _OpenBatch(partition, connection.producer.create_batch(), loop.create_future())
        batch.first_offset.add_done_callback(_seen)
        task = loop.create_task(self._send(connection, batch, connection.last.get(partition)))
        connection.open[partition] = connection.last[partition] = batch
        connection.sending.add(task)
        task.add_done_callback(connection.sending.discard)
        return batch

    async def _send(
        self, connection: _Connection, batch: _OpenBatch, before: _OpenBatch | None
    ) -> None:
        if before is None or before.first_offset.done():
            await asyncio.sleep(_LINGER_SECONDS)
        else:
            await asyncio.wait({before.first_offset})
        if connection.open.get(batch.partition) is batch:
            del connection.open[batch.partition]
        batch.builder.close()
        try:
            with broker_errors(self.bootstrap):
                async with asyncio.timeout(self._patience_seconds):
                    sent = await connection.producer.send_batch(
                        batch.builder, self.topic, partition=batch.partition
                    )
                    metadata: Any = await sent
        except BrokerUnavailable as error:
            if not batch.first_offset.done():
                batch.first_offset.set_exception(error)
            await self._give_up(connection)
        else:
            batch.first_offset.set_result(metadata.offset)

    async def _connected(self) -> _Connection:
        """Return the connection; all that wait for one wait for the same."""
        if self._connection is not None:
            return self._connection
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_seen)
        self._connection = await asyncio.shield(self._connecting)
        return self._connection

    async def _connect(self) -> _Connection:
        producer, partition_of = await open_producer(
            self.bootstrap,
            topic=self.topic,
            patience=timedelta(seconds=self._patience_seconds),
        )
        return _Connection(producer, _remembering(partition_of))

    async def _give_up(self, connection: _Connection) -> None:
        """Replace a producer that has failed: it would leave gaps that Kafka refuses."""
        if self._connection is connection:
            self._connection = self._connecting = None
            await discard_producer(connection.producer)


def _seen(future: asyncio.Future[Any]) -> None:
    """Take note of an exception that no request waits for any more."""
    if not future.cancelled():
        future.exception()


_KNOWN_KEYS = 65_536


def _remembering(partition_of: Partitioner) -> Partitioner:
    known: dict[bytes, int] = {}

    def partition(key: bytes) -> int:
        found = known.get(key)
        if found is None:
            if len(known) >= _KNOWN_KEYS:
                known.clear()
            found = known[key] = partition_of(key)
        return found

    return partition
