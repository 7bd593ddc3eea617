"""Taking the dead letters of some runs out of their topic, which can only be cut off at its front.

Those that stay are appended once more, then all before them is deleted.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from runfold.deploy.log_cutting import Choose, cut_log
from runfold.deploy.topic_copies import connected_consumer, places_of, portions_of
from runfold.producers.kafka_errors import broker_errors
from runfold.schemas.errors import EventRejected
from runfold.schemas.kept_letter import read_letter
from runfold.schemas.topic import DEAD_LETTERS


async def letters_of(bootstrap: str, choose: Choose) -> int:
    """Return how many dead letters of these runs there are. Raises: BrokerUnavailable (retry)."""
    with broker_errors(bootstrap):
        async with connected_consumer(bootstrap) as consumer:
            records = await _records(consumer)
    return sum(_is_of(each, choose) for each in records)


async def erase_letters(bootstrap: str, choose: Choose) -> int:
    """Remove the dead letters of these runs; return how many.

    Delivery: broken off between the two steps the others are there twice, and once again when it
    is repeated. Raises: BrokerUnavailable (retry).
    """
    with broker_errors(bootstrap):
        async with connected_consumer(bootstrap) as consumer:
            records = await _records(consumer)
            ends = {each.partition: each.offset + 1 for each in records}
        meant = [_is_of(each, choose) for each in records]
        if not any(meant):
            return 0
        await _append(
            bootstrap, [each for each, is_meant in zip(records, meant, strict=True) if not is_meant]
        )
    await cut_log(bootstrap, DEAD_LETTERS.name, ends)
    return sum(meant)


async def _append(bootstrap: str, records: list[Any]) -> None:
    seen: set[object] = set()
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        max_request_size=int(DEAD_LETTERS.config["max.message.bytes"]),
    ) as producer:
        for each in records:
            content = (each.partition, each.key, each.value, tuple(each.headers))
            if content not in seen:
                seen.add(content)
                await producer.send(
                    DEAD_LETTERS.name,
                    each.value,
                    each.key,
                    partition=each.partition,
                    headers=list(each.headers),
                )
        await producer.flush()


async def _records(consumer: AIOKafkaConsumer) -> list[Any]:
    if DEAD_LETTERS.name not in await consumer.topics():
        return []
    places = await places_of(consumer, DEAD_LETTERS.name)
    return [each async for portion in portions_of(consumer, places) for each in portion]


def _is_of(record: Any, choose: Choose) -> bool:
    if record.value is None:
        return False
    try:
        key = read_letter(record.value).key
    except EventRejected:
        return False
    return key is not None and bool(choose([key.decode("utf-8", "replace")]))
