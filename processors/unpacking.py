"""Unpacking what aiokafka fetched in chunks of thousands of records, not one by one.

aiokafka wraps each record into an object of its own and passes it through a generator, which
takes longer than all the rest of a fetch. Here its fetched data is given another iterator, which
walks Kafka's batches as they are. It reaches into aiokafka 0.14; `tests/integration` holds it
against aiokafka's own way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from inspect import GEN_CREATED, getgeneratorstate
from itertools import chain, islice
from typing import Any

from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition

from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch

Record = Any
"""What aiokafka's parser makes of a record: offset, timestamp, key, value, headers."""

_RECORDS_A_CHUNK = 8192
_CHUNKS_A_POLL = 3


async def fetched_records(
    fetcher: Any, partitions: set[TopicPartition], timeout_seconds: float
) -> dict[TopicPartition, list[Record]]:
    """Return fetched records of `partitions`, waiting for some as long as `timeout_seconds`.

    Shape: at most about 24,000 records, so that a worker folds while the next are unpacked; none
    where nothing came. The fetcher's positions move behind what is returned.
    """
    if not partitions:  # aiokafka takes none for all
        await asyncio.sleep(timeout_seconds)
        return {}
    records = await _unpacked(fetcher, partitions)
    if records:
        return records
    waiter = fetcher._create_fetch_waiter()
    _, pending = await asyncio.wait([waiter], timeout=timeout_seconds)
    if pending:
        waiter.cancel()
        return {}
    waiter.result()  # raises where the fetch was refused
    return await _unpacked(fetcher, partitions)


def batch_of(
    topic_id: str, tp: TopicPartition, position: int, records: list[Record]
) -> RecordBatch:
    """Return fetched records as a batch of a reader that stood at `position`."""
    return RecordBatch(
        LogPartition(topic_id, tp.partition),
        position,
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        lambda row: records[row].headers,
    )


async def _unpacked(
    fetcher: Any, partitions: set[TopicPartition]
) -> dict[TopicPartition, list[Record]]:
    for result in fetcher._records.values():
        unpacking = getattr(result, "_partition_records", None)
        if unpacking is not None and not isinstance(unpacking._records_iterator, _Chunks):
            unpacking._records_iterator = _Chunks(unpacking)
    chunks = await fetcher.fetched_records(partitions, timeout=0, max_records=_CHUNKS_A_POLL)
    return {tp: _joined(each) for tp, each in chunks.items()}


def _joined(chunks: list[Any]) -> list[Record]:
    # What came in between the two statements above was unpacked by aiokafka, record by record.
    return list(chain.from_iterable(c if isinstance(c, list) else (c,) for c in chunks))


class _Chunks:
    """An iterator over the chunks of one partition's fetched data, in the place of aiokafka's."""

    def __init__(self, unpacking: Any) -> None:
        own = unpacking._records_iterator
        if getgeneratorstate(own) == GEN_CREATED:
            self._chunks = _chunks_of_batches(unpacking)
        else:  # aiokafka has begun; the rest of the Kafka batch it is in would be passed over
            self._chunks = iter(lambda: list(islice(own, _RECORDS_A_CHUNK)), [])

    def __iter__(self) -> Iterator[list[Record]]:
        return self

    def __next__(self) -> list[Record]:
        return next(self._chunks)


def _chunks_of_batches(unpacking: Any) -> Iterator[list[Record]]:
    fetched = unpacking._records
    chunk: list[Record] = []
    while fetched.has_next():
        batch = fetched.next_batch()
        if unpacking._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {unpacking._tp}")
        if not batch.is_control_batch:
            records = list(batch)
            if records and records[0].offset < unpacking.next_fetch_offset:
                records = [each for each in records if each.offset >= unpacking.next_fetch_offset]
            chunk += records
        unpacking.next_fetch_offset = batch.next_offset
        if len(chunk) >= _RECORDS_A_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
