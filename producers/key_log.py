"""The topic of keys: followed by collectors, read and written by `runfold keys`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from runfold.producers.kafka_errors import broker_errors
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.access_key import AccessKey
from runfold.schemas.errors import BrokerUnavailable, EventRejected
from runfold.schemas.topic import KEYS

_PLACE = TopicPartition(KEYS.name, 0)
_POLL_MS = 500
_PAUSE_SECONDS = 1.0
_PATIENCE = timedelta(seconds=10)

OnKey = Callable[[str, AccessKey | None], None]
"""Told what the topic says of a key, in the order of the log; None where it is deleted."""


class KeyLog:
    """The topic of keys of one broker.

    Shape: a record that is no key is passed over, and logged: it lets nobody in.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def read(self) -> dict[str, AccessKey]:
        """Return the keys as they are now, by id. Raises: BrokerUnavailable (retry)."""
        keys: dict[str, AccessKey] = {}

        def put(key_id: str, key: AccessKey | None) -> None:
            keys.pop(key_id, None)
            if key is not None:
                keys[key_id] = key

        with broker_errors(self._bootstrap):
            async with self._consumer() as consumer:
                await _read_to_end(consumer, put)
        return keys

    async def write(self, key: AccessKey) -> None:
        """Keep a key as it is from now on. Raises: BrokerUnavailable (retry)."""
        await ensure_topics(self._bootstrap, [KEYS], patience=_PATIENCE)
        with broker_errors(self._bootstrap):
            producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
            try:
                async with asyncio.timeout(_PATIENCE.total_seconds()):
                    await producer.start()
                    await producer.send_and_wait(
                        KEYS.name, key=key.key_id.encode(), value=key.encode()
                    )
            finally:
                await producer.stop()

    async def follow(self, put: OnKey, on_complete: Callable[[], None]) -> None:
        """Tell `put` of all keys and of every change, for ever, through every outage.

        Shape: `on_complete` is called each time that all there was at the beginning has been told.
        """
        log = structlog.get_logger(__name__)
        while True:
            try:
                await ensure_topics(self._bootstrap, [KEYS], patience=_PATIENCE)
                with broker_errors(self._bootstrap):
                    async with self._consumer() as consumer:
                        if not consumer.assignment():
                            raise BrokerUnavailable(f"topic {KEYS.name} is not known there yet")
                        await _read_to_end(consumer, put)
                        on_complete()
                        while True:
                            await _poll(consumer, put)
            except BrokerUnavailable as error:
                log.warning("the keys cannot be followed now", error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:  # a key that is revoked must not stay in force unseen
                log.exception("the keys cannot be followed now")
                await asyncio.sleep(_PAUSE_SECONDS)

    @asynccontextmanager
    async def following(self, put: OnKey, on_complete: Callable[[], None]) -> AsyncIterator[None]:
        """Follow for the time of a `with` block."""
        task = asyncio.create_task(self.follow(put, on_complete))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, client_id="runfold-keys"
        )
        try:
            await consumer.start()
            if KEYS.name in await consumer.topics():
                consumer.assign([_PLACE])
                await consumer.seek_to_beginning(_PLACE)
            yield consumer
        finally:
            await consumer.stop()


async def _read_to_end(consumer: AIOKafkaConsumer, put: OnKey) -> None:
    if not consumer.assignment():
        return
    end = (await consumer.end_offsets([_PLACE]))[_PLACE]
    while await consumer.position(_PLACE) < end:
        await _poll(consumer, put)


async def _poll(consumer: AIOKafkaConsumer, put: OnKey) -> None:
    for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
        for record in records:
            key_id = (record.key or b"").decode("utf-8", "replace")
            try:
                key = None if record.value is None else AccessKey.decode(record.value)
            except EventRejected as error:
                structlog.get_logger(__name__).warning(
                    "a record is no key", offset=record.offset, error=str(error)
                )
                continue
            if key is None or key.key_id == key_id:
                put(key_id, key)
