"""Deleting old records from Kafka, none that only Kafka has."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from runfold.deploy.topic_copies import connected_consumer, places_of, portions_of
from runfold.producers.kafka_errors import broker_errors

Choose = Callable[[Iterable[str | None]], set[str]]
"""Returns those of some run ids that are meant."""


async def old_records(bootstrap: str, topic: str, before: datetime) -> dict[int, tuple[int, int]]:
    """Return for each partition the first offset, and that of the first record since `before`.

    Shape: partitions without older records, and a topic that is not there, are left out.
    Raises: BrokerUnavailable (retry).
    """
    with broker_errors(bootstrap):
        async with connected_consumer(bootstrap) as consumer:
            if topic not in await consumer.topics():
                return {}
            places = await places_of(consumer, topic)
            firsts = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
            at_ms = round(before.timestamp() * 1000)
            since = await consumer.offsets_for_times(dict.fromkeys(places, at_ms))
    found = {
        each.partition: (firsts[each], ends[each] if since[each] is None else since[each].offset)
        for each in places
    }
    return {partition: span for partition, span in found.items() if span[0] < span[1]}


async def cut_log(bootstrap: str, topic: str, ends: Mapping[int, int]) -> None:
    """Delete the records of `topic` before these offsets, by partition.

    Delivery: they cannot be read any more; their segments are deleted once Kafka has begun newer
    ones. Safe to repeat. Raises: BrokerUnavailable (retry).
    """
    if not ends:
        return
    with broker_errors(bootstrap):
        async with _admin(bootstrap) as admin:
            await admin.delete_records(
                {
                    TopicPartition(topic, partition): RecordsToDelete(before_offset=end)
                    for partition, end in ends.items()
                }
            )


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        yield admin
    finally:
        await admin._client.close()


async def runs_in_log(
    bootstrap: str, topic: str, choose: Choose, mentioned: bytes | None
) -> dict[int, int]:
    """Return for each partition how many records are of some runs, or have some bytes in them.

    Raises: BrokerUnavailable (retry).
    """
    found: Counter[int] = Counter()
    with broker_errors(bootstrap):
        async with connected_consumer(bootstrap) as consumer:
            if topic not in await consumer.topics():
                return {}
            async for portion in portions_of(consumer, await places_of(consumer, topic)):
                keys = {each.key for each in portion if each.key}
                chosen = choose(key.decode("utf-8", "replace") for key in keys)
                for each in portion:
                    is_of_run = (each.key or b"").decode("utf-8", "replace") in chosen
                    if is_of_run or (mentioned is not None and mentioned in (each.value or b"")):
                        found[each.partition] += 1
    return dict(found)
