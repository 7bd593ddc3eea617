"""How far the lake is behind the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runfold.schemas.errors import BrokerUnavailable


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The log of one topic.

    Shape: for each partition the first offset it holds and the next that it will give.
    """

    first_offsets: dict[int, int]
    next_offsets: dict[int, int]

    @property
    def records(self) -> int:
        """How many records the log holds, at most."""
        return sum(self.next_offsets.values()) - sum(self.first_offsets.values())

    def lag(self, durable_offsets: dict[int, int]) -> int:
        """Return how many records are in the log and not in the lake, at most."""
        return sum(
            max(0, end - durable_offsets.get(partition, self.first_offsets[partition]))
            for partition, end in self.next_offsets.items()
        )


async def log_bounds(bootstrap: str, topic: str) -> LogBounds:
    """Ask Kafka where the partitions of `topic` begin and end; none where there is no such topic.

    Raises: BrokerUnavailable.
    """
    try:
        async with _connected(bootstrap) as consumer:
            if topic not in await consumer.topics():
                return LogBounds({}, {})
        async with _connected(bootstrap, topic) as consumer:
            partitions = consumer.partitions_for_topic(topic) or set()
            places = [TopicPartition(topic, partition) for partition in sorted(partitions)]
            first = await consumer.beginning_offsets(places)
            last = await consumer.end_offsets(places)
    except KafkaError as error:
        raise BrokerUnavailable(f"no answer from Kafka at {bootstrap}: {error}") from error
    return LogBounds(
        {place.partition: offset for place, offset in first.items()},
        {place.partition: offset for place, offset in last.items()},
    )


@asynccontextmanager
async def _connected(bootstrap: str, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer, and stop it also where it does not start, which its own `with` does not."""
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
