"""Deleting old records from Kafka, none that only Kafka has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from runfold.producers.kafka_errors import broker_errors


async def old_records(bootstrap: str, topic: str, before: datetime) -> dict[int, tuple[int, int]]:
    """Return for each partition the first offset, and that of the first record since `before`.

    Shape: partitions without older records, and a topic that is not there, are left out.
    Raises: BrokerUnavailable (retry).
    """
    with broker_errors(bootstrap):
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        try:
            await consumer.start()
            if topic not in await consumer.topics():
                return {}
            numbers = await consumer._client._wait_on_metadata(topic)
            places = [TopicPartition(topic, number) for number in sorted(numbers)]
            firsts = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
            at_ms = round(before.timestamp() * 1000)
            since = await consumer.offsets_for_times(dict.fromkeys(places, at_ms))
        finally:
            await consumer.stop()
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
