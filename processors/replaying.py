"""Folding a log again from the topic, into a set of states of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runfold.processors.catching_up import MOST_PENDING_RECORDS, flush_states
from runfold.processors.errors import log_gone
from runfold.processors.folds import FoldFrame
from runfold.processors.run_table import RunTable
from runfold.processors.unpacking import Record, batch_of, fetched_records
from runfold.schemas.codec.columns import decode_event_batch
from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.lake import LakeStore, LogDescription
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.record_batch import RecordBatch

_POLL_SECONDS = 0.5
_SILENCE_SECONDS = 60.0
_MOST_BYTES_A_FETCH = 4 * 1024 * 1024

OnRecords = Callable[[int], None]
"""Called with how many records more have been folded."""


async def replay_topic(
    bootstrap: str,
    log: LogDescription,
    offsets: Mapping[int, OffsetRange],
    lake: LakeStore,
    *,
    fold: FoldFrame,
    framing: Framing = EVENT_FRAMING,
    on_records: OnRecords = lambda _: None,
) -> None:
    """Fold `offsets` of each partition of `log` and write the states to `lake`.

    Delivery: what `lake` has of it already is gone on from, so a replay that was stopped can be
    repeated. Dead letters are passed over: they have been taken care of.
    Raises: LogGone (halt); BrokerUnavailable, LakeUnavailable, LakeCorrupt (retry).
    """
    tables: dict[int, RunTable] = {}
    for partition, wanted in offsets.items():
        place = LogPartition(log.topic_id, partition)
        point = await asyncio.to_thread(lake.resume, place)
        at = max(wanted.first, point.next_offset or 0)
        if at < wanted.next_offset:
            on_records(at - wanted.first)
            tables[partition] = RunTable(place, at, point.runs, framing=framing, fold=fold)
    if not tables:
        return
    ends = {partition: offsets[partition].next_offset for partition in tables}
    try:
        async with AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            auto_offset_reset="none",
            max_partition_fetch_bytes=_MOST_BYTES_A_FETCH,
        ) as consumer:
            await _fold_all(consumer, log.topic, tables, ends, lake, on_records)
    except (KafkaError, TimeoutError) as error:
        raise BrokerUnavailable(f"no answer from Kafka at {bootstrap}: {error!r}") from error


async def _fold_all(
    consumer: AIOKafkaConsumer,
    topic: str,
    tables: dict[int, RunTable],
    ends: Mapping[int, int],
    lake: LakeStore,
    on_records: OnRecords,
) -> None:
    places = {partition: TopicPartition(topic, partition) for partition in tables}
    consumer.assign(list(places.values()))
    starts = await consumer.beginning_offsets(list(places.values()))
    for partition, place in places.items():
        if starts[place] > tables[partition].next_offset:
            raise log_gone(topic, partition, tables[partition].next_offset, starts[place])
        consumer.seek(place, tables[partition].next_offset)
    while tables:
        fetched = await _fetched(consumer, {places[partition] for partition in tables}, ends)
        for place, records in fetched.items():
            table = tables[place.partition]
            batch = batch_of(table.log.topic_id, place, table.next_offset, records)
            before = table.next_offset
            await asyncio.to_thread(_take, table, batch.until_offset(ends[place.partition]), lake)
            on_records(table.next_offset - before)
        for partition in list(tables):
            if await consumer.position(places[partition]) >= ends[partition]:
                await asyncio.to_thread(flush_states, tables.pop(partition), lake)


async def _fetched(
    consumer: AIOKafkaConsumer, places: set[TopicPartition], ends: Mapping[int, int]
) -> dict[TopicPartition, list[Record]]:
    """Return records; none where a partition ends with some that hold nothing."""
    async with asyncio.timeout(_SILENCE_SECONDS):
        while True:
            fetched = await fetched_records(consumer._fetcher, places, _POLL_SECONDS)
            if fetched:
                return fetched
            for place in places:
                if await consumer.position(place) >= ends[place.partition]:
                    return {}


def _take(table: RunTable, batch: RecordBatch | None, lake: LakeStore) -> None:
    if batch is None:
        return
    decoded = decode_event_batch(batch, table.framing)
    table.bring_back(lake.states_of(table.log, table.past_runs(decoded.frame)))
    table.take(batch, decoded)
    table.dead_letters.clear()
    if table.pending_records >= MOST_PENDING_RECORDS:
        flush_states(table, lake)
