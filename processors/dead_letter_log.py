"""Reading the dead-letter topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runfold.processors.dead_letter_index import DeadLetterIndex, LetterEntry
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.kept_letter import KeptLetter, read_letter
from runfold.schemas.topic import DEAD_LETTERS

_POLL_MS = 500
_MOST_RECORDS_A_POLL = 500

OnRead = Callable[[int, int], None]
"""Told how many records have been read, of how many at most."""


def unwatched(done: int, total: int) -> None:
    """Do nothing."""
    del done, total


class DeadLetterLog:
    """The dead-letter topic of one broker, as it was when it is asked."""

    def __init__(self, bootstrap: str, topic: str = DEAD_LETTERS.name) -> None:
        self._bootstrap = bootstrap
        self._topic = topic

    async def index(self, on_read: OnRead = unwatched) -> DeadLetterIndex:
        """Read the whole topic; empty where there is none. Raises: BrokerUnavailable (retry)."""
        index = DeadLetterIndex()
        async with self._consumer() as consumer:
            spans = await self._spans(consumer)
            async for records in _read(consumer, spans, on_read):
                for record in records:
                    kept_at = (record.partition, record.offset)
                    if record.value is None:
                        index.add_mark(kept_at, record.key, record.headers)
                    else:
                        index.add_letter(kept_at, record.value)
        return index

    async def letters(
        self, wanted: Collection[LetterEntry], on_read: OnRead = unwatched
    ) -> AsyncIterator[list[KeptLetter]]:
        """Yield the letters of these entries with their bytes, some at a time.

        Raises: BrokerUnavailable (retry).
        """
        places = {each.kept_at for each in wanted}
        spans: dict[TopicPartition, tuple[int, int]] = {}
        for partition in {partition for partition, _ in places}:
            offsets = [offset for at, offset in places if at == partition]
            spans[TopicPartition(self._topic, partition)] = (min(offsets), max(offsets) + 1)
        async with self._consumer() as consumer:
            async for records in _read(consumer, spans, on_read):
                chosen = [each for each in records if (each.partition, each.offset) in places]
                if chosen:
                    yield [read_letter(each.value) for each in chosen]

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=_MOST_RECORDS_A_POLL,
        )
        try:
            await consumer.start()
            yield consumer
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"Kafka at {self._bootstrap}: {error}") from error
        finally:
            await consumer.stop()

    async def _spans(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, tuple[int, int]]:
        """Return for each partition where the topic begins and ends now."""
        if self._topic not in await consumer.topics():
            return {}
        numbers = await consumer._client._wait_on_metadata(self._topic)
        places = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        first = await consumer.beginning_offsets(places)
        end = await consumer.end_offsets(places)
        return {place: (first[place], end[place]) for place in places}


async def _read(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, tuple[int, int]], on_read: OnRead
) -> AsyncIterator[list[Any]]:
    """Yield the records of `spans`, from the first offset of each to before its end."""
    left = {place: (first, end) for place, (first, end) in spans.items() if first < end}
    total = sum(end - first for first, end in left.values())
    consumer.assign(list(left))
    for place, (first, _) in left.items():
        consumer.seek(place, first)
    done = 0
    while left:
        fetched = await consumer.getmany(*left, timeout_ms=_POLL_MS)
        for place, records in fetched.items():
            within = [each for each in records if each.offset < left[place][1]]
            if within:
                yield within
        for place, (first, end) in list(left.items()):
            position = min(await consumer.position(place), end)
            done += position - first
            left[place] = (position, end)
            if position == end:
                del left[place]
        on_read(done, total)
