"""Client and publisher against real Kafka, which comes late, goes away and comes back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from runfold.deploy.embedded import KafkaServer
from runfold.producers import Client
from runfold.producers.journal_folder import journals_below
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.producers.orphans import ship_orphans
from runfold.producers.publisher import Publisher
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.errors import BrokerUnavailable, EventRejected
from runfold.schemas.event import Event
from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.topic import EVENTS, all_topics
from tests.memory_log import wait_until

PATIENCE = timedelta(seconds=5)


async def _read(bootstrap: str, topic: str) -> list[Event]:
    """Return all events of a topic; those of one partition in the order of the log."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, n) for n in range(EVENTS.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        events: list[Event] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    event = decode_event(record.value)
                    assert record.key == event.run_id.encode()
                    events.append(event)
        return events
    finally:
        await consumer.stop()


def _event(n: int, run: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"rf{'0' * 20}.{run}-{n}",
        "run_id": f"run-{run}",
        "event_type": "custom",
        "occurred_at": 1_763_000_000_000_000 + n,
        **fields,
    }


def _publisher_of(server: KafkaServer, topic: str) -> Callable[[], Any]:
    def open_publisher() -> AbstractAsyncContextManager[Publisher]:
        return KafkaPublisher(server.bootstrap, topic=topic, patience=PATIENCE)

    return open_publisher


def _without_doubles(events: list[Event]) -> EventIdSet:
    ids = EventIdSet()
    for event in events:
        ids.add(event.event_id)
    return ids


async def test_topics_are_created_as_their_files_say_and_then_left_alone(
    kafka_server_factory: Callable[..., KafkaServer],
) -> None:
    with kafka_server_factory() as server:
        created = await ensure_topics(server.bootstrap)
        assert sorted(created) == [each.name for each in all_topics()]
        assert await ensure_topics(server.bootstrap) == []
        admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
        await admin.start()
        try:
            (described,) = await admin.describe_topics([EVENTS.name])
            assert len(described["partitions"]) == EVENTS.partitions
            resource = ConfigResource(ConfigResourceType.TOPIC, EVENTS.name)
            (response,) = await admin.describe_configs([resource])
            found = {each[0]: each[1] for each in response.resources[0][4]}
            assert {name: found[name] for name in EVENTS.config} == EVENTS.config
        finally:
            await admin.close()


async def test_two_that_create_the_topics_at_once_both_succeed(
    kafka_server_factory: Callable[..., KafkaServer],
) -> None:
    with kafka_server_factory() as server:
        created = await asyncio.gather(*(ensure_topics(server.bootstrap) for _ in range(3)))
        assert sorted(name for one in created for name in one) == [t.name for t in all_topics()]


async def test_published_events_are_in_the_log_in_the_order_of_their_run(
    kafka: KafkaServer, topic_name: str
) -> None:
    async with KafkaPublisher(kafka.bootstrap, topic=topic_name) as publisher:
        for n in range(1, 20_001):
            await publisher.publish(_event(n, run=n % 7, error_message="x" * (n % 300)))
    events = await _read(kafka.bootstrap, topic_name)
    assert len(events) == 20_000
    for run in range(7):
        of_run = [each.occurred_at for each in events if each.run_id == f"run-{run}"]
        assert of_run == sorted(of_run)
    assert len(_without_doubles(events)) == 20_000


# Source: `testMurmur2` of Apache Kafka's UtilsTest.
_HASHES = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


async def test_a_key_is_in_the_partition_that_every_kafka_client_chooses(
    kafka: KafkaServer, topic_name: str
) -> None:
    expected = dict.fromkeys(range(EVENTS.partitions), 0)
    async with KafkaPublisher(kafka.bootstrap, topic=topic_name) as publisher:
        for run_id, hashed in _HASHES.items():
            expected[(hashed & 0x7FFF_FFFF) % EVENTS.partitions] += 1
            await publisher.publish({**_event(1), "run_id": run_id})
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic_name, n) for n in expected])
        assert {partition.partition: end for partition, end in ends.items()} == expected
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [({"input_tokens": "many"}, "bad_body"), ({"error_message": "x" * 2_000_000}, "too_large")],
)
async def test_an_event_that_is_refused_leaves_its_neighbours_alone(
    kafka: KafkaServer, topic_name: str, bad: dict[str, Any], reason: str
) -> None:
    async with KafkaPublisher(kafka.bootstrap, topic=topic_name) as publisher:
        await publisher.publish(_event(1))
        with pytest.raises(EventRejected) as refused:
            await publisher.publish(_event(2, **bad))
        assert refused.value.reason == reason
        await publisher.publish(_event(3))
    events = await _read(kafka.bootstrap, topic_name)
    assert [each.event_id[-1] for each in events] == ["1", "3"]


async def test_the_largest_events_are_accepted(kafka: KafkaServer, topic_name: str) -> None:
    async with KafkaPublisher(kafka.bootstrap, topic=topic_name) as publisher:
        for n in range(1, 31):
            await publisher.publish(_event(n, run=n, error_message="x" * 1_048_000))
    assert len(await _read(kafka.bootstrap, topic_name)) == 30


async def test_a_publisher_says_when_there_is_no_broker() -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        async with KafkaPublisher("127.0.0.1:1", patience=PATIENCE):
            pass


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_publisher_goes_on_when_its_broker_is_back(
    kafka_server_factory: Callable[..., KafkaServer], topic_name: str, how: str
) -> None:
    server = kafka_server_factory()
    await asyncio.to_thread(_start, server)
    publisher = KafkaPublisher(server.bootstrap, topic=topic_name, patience=timedelta(seconds=1))
    async with publisher:
        await publisher.publish(_event(1))
        await publisher.flush()
        await asyncio.to_thread(server.stop if how == "stop" else server.kill)
        await publisher.publish(_event(2))
        with pytest.raises(BrokerUnavailable):
            await publisher.flush()
        await asyncio.to_thread(_start, server)
        await _publish_again(publisher, _event(2))
    assert len(_without_doubles(await _read(server.bootstrap, topic_name))) == 2


def _start(server: KafkaServer) -> None:
    server.start()
    server.wait_ready()


async def _publish_again(publisher: KafkaPublisher, event: dict[str, Any]) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await publisher.publish(event)
                await publisher.flush()
            except BrokerUnavailable:
                continue
            return


async def test_what_a_client_records_is_in_the_log(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    client = Client(
        agent="a", journal_dir=tmp_path, publisher=_publisher_of(kafka, topic_name), project="p"
    )
    async with client.run() as run:
        run.event("tool.ended", tool_name="t", url="https://e.org")
    assert await asyncio.to_thread(client.flush, 30)
    await asyncio.to_thread(client.close)
    started, tool, ended = await _read(kafka.bootstrap, topic_name)
    assert (started.agent_name, started.project) == ("a", "p")
    assert tool.attributes == '{"url":"https://e.org"}'
    assert (ended.event_type, ended.status) == ("run.ended", "success")
    assert journals_below(tmp_path) == []


def test_a_broker_that_comes_late_gets_everything(
    kafka_server_factory: Callable[..., KafkaServer], topic_name: str, tmp_path: Path
) -> None:
    server = kafka_server_factory()
    _start(server)
    server.stop()
    client = Client(
        journal_dir=tmp_path, publisher=_publisher_of(server, topic_name), heartbeat_seconds=None
    )
    run_id = client.start_run()
    for _ in range(5000):
        client.event(run_id, "custom")
    assert not client.flush(timeout=1)
    server.start()
    assert client.flush(timeout=60)
    client.close()
    events = asyncio.run(_read(server.bootstrap, topic_name))
    assert list(_without_doubles(events).ranges.values()) == [[1, 5001]]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_that_restarts_in_the_middle_gets_everything(
    kafka_server_factory: Callable[..., KafkaServer], topic_name: str, tmp_path: Path, how: str
) -> None:
    server = kafka_server_factory()
    _start(server)
    client = Client(
        journal_dir=tmp_path, publisher=_publisher_of(server, topic_name), heartbeat_seconds=None
    )
    runs = [client.start_run() for _ in range(20)]
    for n in range(30_000):
        client.event(runs[n % 20], "custom")
        if n == 10_000:
            wait_until(lambda: client.counts.shipped > 0)
            (server.stop if how == "stop" else server.kill)()
        if n == 20_000:
            server.start()
    assert client.flush(timeout=60)
    client.close()
    events = asyncio.run(_read(server.bootstrap, topic_name))
    ids = _without_doubles(events)
    assert len(ids) == 30_020
    assert ids.missing() == {}


_KILLED = """
import os, sys
from runfold.producers import Client
from runfold.producers.kafka_publisher import KafkaPublisher
root, bootstrap, topic, events = sys.argv[1:]
client = Client(journal_dir=root, publisher=lambda: KafkaPublisher(bootstrap, topic=topic))
run_id = client.start_run()
for n in range(int(events)):
    client.event(run_id, "custom")
    if n == 10_000:
        client.flush(20)
os.kill(os.getpid(), 9)
"""


async def test_processes_that_are_killed_while_shipping_leave_nothing_behind_and_lose_nothing(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path), kafka.bootstrap, topic_name]
    children = [subprocess.Popen([*command, str(n)]) for n in (15_000, 30_000)]
    for child in children:
        assert await asyncio.to_thread(child.wait) == -9
    async with KafkaPublisher(kafka.bootstrap, topic=topic_name) as publisher:
        await ship_orphans(tmp_path, publisher)
    ids = _without_doubles(await _read(kafka.bootstrap, topic_name))
    (first, first_end), (second, second_end) = sorted(ids.ranges.values())
    assert (first, second) == (1, 1)
    # A process that takes longer than 30 s on a busy machine has sent heartbeats too.
    assert 15_001 <= first_end <= 15_010
    assert 30_001 <= second_end <= 30_010
    assert journals_below(tmp_path) == []
