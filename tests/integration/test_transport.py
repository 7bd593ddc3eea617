"""How the consumer reads where it is sent back to, and what it says of the end of the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faust.types import TP

from runfold.deploy.embedded import KafkaServer
from runfold.processors import transport
from runfold.processors.transport import RecordBatchThread
from runfold.producers.demo import generate_fleet
from tests.integration.stack_parts import make_topics, publish

RECORDS = list(generate_fleet(7, datetime(2026, 11, 21, 7, tzinfo=UTC), 5))


class Fetching(RecordBatchThread):
    """The consumer's thread without Faust around it, on the loop of the test."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.consumer = SimpleNamespace(flow_active=True)  # type: ignore[assignment]
        self._sought = {}
        self._handed_on = {}
        self._kafka = consumer

    def _ensure_consumer(self) -> AIOKafkaConsumer:
        return self._kafka


@asynccontextmanager
async def fetching(bootstrap: str, partitions: list[TP]) -> AsyncIterator[Fetching]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=200)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(*tp) for tp in partitions])
        thread = Fetching(consumer)
        await thread._seek_to(dict.fromkeys(partitions, 0))
        yield thread
    finally:
        await consumer.stop()


async def read(thread: Fetching, ends: dict[TP, int]) -> dict[int, int]:
    """Read all that there is; return for each partition how far it was read without a hole."""
    reached = {tp.partition: 0 for tp in ends}
    async with asyncio.timeout(30):
        while reached != {tp.partition: end for tp, end in ends.items()}:
            for batch in await thread._fetch_batches("t", set(ends)):
                if batch.position <= reached[batch.log.partition]:
                    reached[batch.log.partition] = batch.covers.next_offset
    return reached


async def test_records_that_a_seek_made_the_worker_drop_are_read_although_no_more_come(
    kafka: KafkaServer, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "POLL_SECONDS", 5.0)  # what is sought arrives within one fetch
    await make_topics(kafka.bootstrap, topic_name, partitions=2)
    await publish(kafka.bootstrap, topic_name, RECORDS)
    partitions = [TP(topic_name, 0), TP(topic_name, 1)]
    async with fetching(kafka.bootstrap, partitions) as thread:
        places = [TopicPartition(*tp) for tp in partitions]
        known = await thread._ensure_consumer().end_offsets(places)
        ends = {tp: known[place] for tp, place in zip(partitions, places, strict=True)}
        assert all(ends.values())
        await read(thread, ends)
        waiting = asyncio.create_task(thread._fetch_batches("t", set(partitions)))
        await asyncio.sleep(0)  # it waits for records now
        await thread._seek_to(dict.fromkeys(partitions, 0))
        assert await waiting == []
        await read(thread, ends)


async def test_where_no_partition_is_ready_none_is_read(
    kafka: KafkaServer, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "POLL_SECONDS", 0.05)
    await make_topics(kafka.bootstrap, topic_name, partitions=1)
    await publish(kafka.bootstrap, topic_name, RECORDS)
    partition = TP(topic_name, 0)
    async with fetching(kafka.bootstrap, [partition]) as thread:
        fetcher = thread._ensure_consumer()._fetcher
        async with asyncio.timeout(30):
            while not fetcher._records:
                await asyncio.sleep(0.05)
        assert await thread._fetch_batches("t", set()) == []
        await read(thread, {partition: len(RECORDS)})


async def test_the_mark_of_a_transaction_is_no_record_to_go(
    kafka: KafkaServer, topic_name: str
) -> None:
    await make_topics(kafka.bootstrap, topic_name, partitions=1)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id=topic_name
    ) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic_name, b"a record")
    only = TP(topic_name, 0)
    async with fetching(kafka.bootstrap, [only]) as thread:
        async with asyncio.timeout(30):
            while await thread._log_ends({only}) != {0: 2}:  # the mark comes after the answer
                await asyncio.sleep(0.05)
            await read(thread, {only: 1})
            while await thread._log_ends({only}) != {0: 1}:  # not before the mark has been read
                assert await thread._fetch_batches("t", {only}) == []
        await publish(kafka.bootstrap, topic_name, RECORDS[:1])
        assert await thread._log_ends({only}) == {0: 3}
