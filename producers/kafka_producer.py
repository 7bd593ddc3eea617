"""The life of one aiokafka producer: opened on a topic that exists, closed or thrown away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING

from runfold.producers.kafka_errors import broker_errors
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.topic import EVENTS, all_topics

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

MAX_BATCH_BYTES = 128 * 1024
_GRACE_SECONDS = 5.0

Partitioner = Callable[[bytes], int]
"""Gives the partition of a key, as every Kafka client does by default."""


async def open_producer(
    bootstrap: str, *, topic: str, patience: timedelta
) -> tuple[AIOKafkaProducer, Partitioner]:
    """Return a producer that is ready to send to `topic`, which is created where it is missing.

    Raises: BrokerUnavailable (retry), within about `patience`.
    """
    from aiokafka import AIOKafkaProducer

    known = [each for each in all_topics() if each.name == topic]
    await ensure_topics(bootstrap, known or [replace(EVENTS, name=topic)], patience=patience)
    with broker_errors(bootstrap):
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            client_id="runfold",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,  # whole batches are handed over: the publisher does the waiting
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=int(EVENTS.config["max.message.bytes"]),
            request_timeout_ms=round(patience.total_seconds() * 1000),
        )
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await producer.start()
                partitions = sorted(await producer.partitions_for(topic))
        except BaseException:
            await discard_producer(producer)
            raise
    return producer, _partitioner(partitions)


def _partitioner(partitions: list[int]) -> Partitioner:
    from aiokafka.partitioner import DefaultPartitioner

    place = DefaultPartitioner()
    return lambda key: int(place(key, partitions, partitions))


async def discard_producer(producer: AIOKafkaProducer) -> None:
    """Close `producer` and give up what it has not sent.

    An idempotent producer never gives up by itself, and one that has failed once leaves a gap in
    its sequence numbers that the broker refuses from then on: it has to be replaced.
    """
    from aiokafka.errors import ProducerClosed

    sender = producer._sender
    if sender.sender_task is not None:  # it would report batches that are gone
        sender.sender_task.remove_done_callback(sender._fail_all)
    accumulator = producer._message_accumulator
    given_up = [*chain.from_iterable(accumulator._batches.values()), *accumulator._pending_batches]
    accumulator.fail_all(ProducerClosed())
    for batch in given_up:  # nobody waits for these any more, which asyncio would complain of
        for future in (batch.future, batch._drain_waiter):
            if future.done() and not future.cancelled():
                future.exception()
    await producer.client.close()
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait({stopping}, timeout=_GRACE_SECONDS)
    if not stopping.cancel():
        stopping.exception()  # seen, and of no interest: it is what made the producer useless
