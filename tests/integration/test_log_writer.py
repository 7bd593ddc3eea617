"""The collector's way into Kafka: order, places, and a broker that goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from typer.testing import CliRunner

from runfold.deploy.cli.app import app
from runfold.deploy.embedded import KafkaServer
from runfold.processors.dead_letter_log import DeadLetterLog
from runfold.producers.collector.access import Caller
from runfold.producers.collector.journaling_log import KEPT, JournalingLog
from runfold.producers.collector.letters import SetAside, letter_of
from runfold.producers.collector.log_writer import LogWriter
from runfold.producers.collector.records import Record, record_of
from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.errors import BrokerUnavailable, CollectorBusy, EventRejected
from tests.integration.stack_parts import make_topics


def record(run: str, number: int, **more: Any) -> Record:
    made = record_of(
        {
            "event_id": f"{run}-{number}",
            "run_id": run,
            "event_type": "custom",
            "occurred_at": 1_763_700_000_000_000 + number,
            **more,
        },
        Caller(),
    )
    assert not isinstance(made, EventRejected)
    return made


async def log_of(bootstrap: str, topic: str) -> dict[tuple[int, int], str]:
    """Return the id of each event of the log, by its partition and offset."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, each) for each in range(3)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: dict[tuple[int, int], str] = {}
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for record in (await consumer.getmany(partition, timeout_ms=500)).get(
                    partition, []
                ):
                    found[record.partition, record.offset] = decode_event(record.value).event_id
        return found
    finally:
        await consumer.stop()


async def test_many_requests_at_once_lie_where_they_were_told_and_in_order(
    kafka: KafkaServer, topic_name: str
) -> None:
    await make_topics(kafka.bootstrap, topic_name)
    large = "x" * 3000  # several batches for each partition
    told: dict[tuple[int, int], str] = {}

    async def agent(writer: LogWriter, run: str) -> None:
        for request in range(5):
            numbers = range(request * 20, request * 20 + 20)
            records = [record(run, each, attributes=f'{{"a":"{large}"}}') for each in numbers]
            for number, placed in zip(numbers, await writer.append(records), strict=True):
                told[placed] = f"{run}-{number}"

    async with LogWriter(
        kafka.bootstrap, topic=topic_name, patience=timedelta(seconds=60)
    ) as writer:
        await asyncio.gather(*(agent(writer, f"run{number}") for number in range(30)))
        assert writer.waiting_bytes == 0

    stored = await log_of(kafka.bootstrap, topic_name)
    assert stored == told
    for number in range(30):
        mine = [each for _, each in sorted(stored.items()) if each.startswith(f"run{number}-")]
        assert mine == [f"run{number}-{at}" for at in range(100)]


async def test_more_than_may_wait_is_told_to_come_back(kafka: KafkaServer, topic_name: str) -> None:
    await make_topics(kafka.bootstrap, topic_name)
    async with LogWriter(kafka.bootstrap, topic=topic_name, most_waiting_bytes=50) as writer:
        taken = await asyncio.gather(
            *(writer.append([record("run", at)]) for at in range(5)), return_exceptions=True
        )
        assert isinstance(taken[0], list)
        assert all(isinstance(each, CollectorBusy) for each in taken[1:])
        assert await writer.append([record("run", 9)])


async def test_a_broker_that_goes_away_refuses_and_one_that_comes_back_takes(
    kafka_server_factory: Callable[..., KafkaServer], topic_name: str
) -> None:
    with kafka_server_factory() as server:
        await make_topics(server.bootstrap, topic_name)
        async with LogWriter(
            server.bootstrap, topic=topic_name, patience=timedelta(seconds=1)
        ) as writer:
            [before] = await patiently(writer, record("run", 1))
            with standing_still(server):
                requests = (writer.append([record("run", 2 + at)]) for at in range(3))
                refused = await asyncio.gather(*requests, return_exceptions=True)
                assert all(isinstance(each, BrokerUnavailable) for each in refused)
            [after] = await patiently(writer, record("run", 5))
        stored = await log_of(server.bootstrap, topic_name)
    assert stored[before] == "run-1"
    assert stored[after] == "run-5"


@contextmanager
def standing_still(server: KafkaServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


async def patiently(writer: LogWriter, one: Record) -> list[Any]:
    """Send until it is taken, as a client does."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await writer.append([one])
            except BrokerUnavailable:
                await asyncio.sleep(0.1)


async def test_what_a_collector_left_in_its_journal_is_shipped_with_its_dead_letters(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    item = SetAside("otlp", "spans[1]", "bad_item", "no span", f"{topic_name} \xff".encode())
    letter = letter_of(item, topic_name)
    nowhere = JournalingLog("127.0.0.1:1", tmp_path, patience=timedelta(seconds=1))
    async with nowhere as log:
        assert await log.accept([record(topic_name, 1)]) == [KEPT]
        await log.set_aside([letter, letter])
    command = ["ship", "--journal", str(tmp_path), "--broker", kafka.bootstrap, "--format", "json"]
    done = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert (done.exit_code, json.loads(done.stdout)["events_shipped"]) == (0, 3), done.stderr
    entries = (await DeadLetterLog(kafka.bootstrap).index()).entries()
    [kept] = [each for each in entries if each.place.key == letter[0].decode()]
    assert kept.message == "otlp, spans[1]: no span"
