"""Fetch a topic by plain aiokafka and do nothing with it.

python -m tests.benchmarks.contenders.raw_fetch BOOTSTRAP TOPIC RECORDS
"""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.benchmarks.contenders.measured import note_first_fetch, now, say


async def fetch(bootstrap: str, topic: str, records: int) -> None:
    """Fetch `records` records, and say when."""
    first = note_first_fetch(topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = consumer.partitions_for_topic(topic) or set(range(12))
        consumer.assign([TopicPartition(topic, each) for each in partitions])
        fetched = 0
        while fetched < records:
            batches = await consumer.getmany(timeout_ms=500)
            fetched += sum(map(len, batches.values()))
        say(first=first[0], done=now(), records=fetched)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(fetch(sys.argv[1], sys.argv[2], int(sys.argv[3])))
