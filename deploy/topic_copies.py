"""Topics that the lake does not hold, as files: copied for a backup, and put back from one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from runfold.producers.kafka_errors import broker_errors
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.topic import EVENTS, all_topics
from runfold.sinks.backup.manifest import KeptTopic
from runfold.sinks.backup.taking import TopicCopy

_POLL_MS = 500
_MOST_RECORDS_A_POLL = 500
_MOST_REQUEST_BYTES = 20 * 1024 * 1024
_SET_FOR_THE_TOPIC = 1
_PATIENCE = timedelta(seconds=30)
COPY_COLUMNS = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp_ms", pa.int64(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field(
            "headers",
            pa.list_(pa.struct([pa.field("name", pa.string()), pa.field("value", pa.binary())])),
        ),
    ]
)

_Record = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]
"""What is the same of a record that was put back: key, value, headers."""


async def copy_topics(bootstrap: str, events_topic: str, folder: Path) -> list[TopicCopy]:
    """Copy all topics of runfold but that of the events into files below `folder`.

    Shape: of the events topic only what it is; a topic that Kafka has not got is left out.
    Raises: BrokerUnavailable (retry).
    """
    names = [events_topic, *(each.name for each in all_topics() if each.name != EVENTS.name)]
    copies = []
    with broker_errors(bootstrap):
        async with connected_consumer(bootstrap) as consumer:
            there = await consumer.topics()
            for name in names:
                if name not in there:
                    continue
                places = await places_of(consumer, name)
                about = KeptTopic(name, len(places), await _config(bootstrap, name), None)
                if name == events_topic:
                    copies.append(TopicCopy(about, None))
                    continue
                path = folder / f"{name}.parquet"
                records = await _copy(consumer, places, path)
                copies.append(TopicCopy(replace(about, records=records), path))
    return copies


async def put_topic_back(bootstrap: str, topic: KeptTopic, path: Path | None) -> int:
    """Create a topic that is missing, and send its records; return how many were sent.

    Shape: partitions and configuration as they were; `path` has the records.
    Delivery: what was sent by an earlier attempt is not sent again.
    Raises: BrokerUnavailable (retry); ConfigurationError where the topic holds other records.
    """
    known = {each.name: each for each in all_topics()}.get(topic.name, EVENTS)
    await ensure_topics(
        bootstrap,
        [replace(known, name=topic.name, partitions=topic.partitions, config=dict(topic.config))],
    )
    if path is None:
        return 0
    with broker_errors(bootstrap):
        there = await _records_there(bootstrap, topic.name)
        sent = 0
        async with AIOKafkaProducer(
            bootstrap_servers=bootstrap, acks="all", max_request_size=_MOST_REQUEST_BYTES
        ) as producer:
            for partition, record in _records_in(path):
                before = there.get(partition, [])
                if before:
                    if before.pop(0) != record:
                        raise ConfigurationError(
                            f"{topic.name} holds other records than the backup; "
                            "restore to a Kafka without it, or with --lake-only"
                        )
                    continue
                key, value, headers = record
                await producer.send(
                    topic.name, value, key, partition=partition, headers=list(headers)
                )
                sent += 1
            await producer.flush()
        return sent


async def _copy(consumer: AIOKafkaConsumer, places: list[TopicPartition], path: Path) -> int:
    records = 0
    with pq.ParquetWriter(path, COPY_COLUMNS, compression="zstd") as writer:
        async for portion in portions_of(consumer, places):
            rows = [
                {
                    "partition": each.partition,
                    "offset": each.offset,
                    "timestamp_ms": each.timestamp,
                    "key": each.key,
                    "value": each.value,
                    "headers": [{"name": name, "value": value} for name, value in each.headers],
                }
                for each in sorted(portion, key=lambda each: (each.partition, each.offset))
            ]
            writer.write_table(pa.Table.from_pylist(rows, COPY_COLUMNS))
            records += len(rows)
    return records


def _records_in(path: Path) -> Iterator[tuple[int, _Record]]:
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(_MOST_RECORDS_A_POLL):
            for row in batch.to_pylist():
                headers = tuple((each["name"], each["value"]) for each in row["headers"])
                yield row["partition"], (row["key"], row["value"], headers)


async def _records_there(bootstrap: str, name: str) -> dict[int, list[_Record]]:
    found: dict[int, list[_Record]] = {}
    async with connected_consumer(bootstrap) as consumer:
        async for portion in portions_of(consumer, await places_of(consumer, name)):
            for each in portion:
                record = (each.key, each.value, tuple(each.headers))
                found.setdefault(each.partition, []).append(record)
    return found


async def portions_of(
    consumer: AIOKafkaConsumer, places: list[TopicPartition]
) -> AsyncIterator[list[Any]]:
    """Yield the records that `places` hold now, those of each partition in order."""
    firsts = await consumer.beginning_offsets(places)
    ends = await consumer.end_offsets(places)
    left = {place: ends[place] for place in places if firsts[place] < ends[place]}
    if not left:
        return  # aiokafka may never stop where it is stopped just after it was assigned anew
    consumer.assign(list(left))
    for place in left:
        consumer.seek(place, firsts[place])
    while left:
        fetched = await consumer.getmany(*left, timeout_ms=_POLL_MS)
        portion = [
            each
            for place, records in fetched.items()
            for each in records
            if each.offset < ends[place]
        ]
        if portion:
            yield portion
        for place in list(left):
            if await consumer.position(place) >= left[place]:
                del left[place]


async def places_of(consumer: AIOKafkaConsumer, name: str) -> list[TopicPartition]:
    numbers = await consumer._client._wait_on_metadata(name)
    return [TopicPartition(name, number) for number in sorted(numbers)]


@asynccontextmanager
async def connected_consumer(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=_MOST_RECORDS_A_POLL,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _config(bootstrap: str, name: str) -> dict[str, str]:
    """Return what is configured for a topic itself."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=round(_PATIENCE.total_seconds() * 1000)
    )
    try:
        await admin.start()
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    finally:
        await admin._client.close()
    [(_, _, _, _, entries)] = answer.resources
    return {entry[0]: entry[1] for entry in entries if entry[3] == _SET_FOR_THE_TOPIC}
