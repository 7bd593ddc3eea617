"""Transcripts and the demo through real Kafka."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from runfold.deploy.embedded import KafkaServer
from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.errors import EventRejected
from runfold.schemas.event import Event
from runfold.schemas.run_state import TOKEN_FIELDS
from runfold.schemas.topic import EVENTS
from tests.integration.stack_parts import WorkerProcess, wait_until
from tests.transcripts.counting import count_tokens

RECORDED = Path(__file__).parent.parent / "transcripts" / "recorded"


RESUMED = "55555555-5555-4555-8555-555555555555"
ALL_TOKENS = "select {} from read_parquet($files)".format(
    ", ".join(f"sum({name}) {name}" for name in TOKEN_FIELDS)
)


@pytest.fixture
def broker(kafka_server_factory: Callable[..., KafkaServer]) -> Iterator[str]:
    """Give a broker of its own: the commands publish to the one topic of a broker."""
    with kafka_server_factory() as server:
        yield server.bootstrap


def runfold(*arguments: str, broker: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "RUNFOLD" not in name}
    command = "from runfold.deploy.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, *arguments, "--broker", broker, "--format", "json"],
        env={**environment, "HOME": str(home), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


async def read_log(broker: str) -> tuple[list[Event], Counter[str]]:
    """Return the events of the whole log, and how many records were refused for which reason."""
    events: list[Event] = []
    refused: Counter[str] = Counter()
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(EVENTS.name, each) for each in range(EVENTS.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                batch = await consumer.getmany(partition, timeout_ms=1000)
                for record in batch.get(partition, []):
                    try:
                        event = decode_event(record.value or b"")
                    except EventRejected as error:
                        refused[error.reason] += 1
                        continue
                    assert (
                        record.key is None
                        or record.key.decode() == event.run_id
                        or (event.agent_name == "broken-agent")
                    )
                    events.append(event)
    finally:
        await consumer.stop()
    return events, refused


def tokens_of(events: list[Event]) -> Counter[str]:
    once = {(each.run_id, each.event_id): each for each in events}
    total: Counter[str] = Counter()
    for event in once.values():
        total.update({name: getattr(event, name) or 0 for name in TOKEN_FIELDS})
    return +total


@pytest.fixture
def lake(broker: str, tmp_path: Path) -> Iterator[Path]:
    """Give the lake that a worker of `broker` keeps, with a small demo in it."""
    runfold("demo", "--runs", "1", broker=broker, home=tmp_path)
    folder = tmp_path / "lake"
    with WorkerProcess(broker, EVENTS.name, folder) as worker:
        wait_until(lambda: any(folder.rglob("p*.parquet")), "a flush", workers=[worker])
        yield folder
        assert worker.stop() == 0


def lake_tokens(lake: Path, where: str) -> Counter[str]:
    """Sum the tokens of what transcripts gave: the events whose ids the importer made."""
    files = str(lake / "*" / "events" / "**" / "*.parquet")
    with duckdb.connect() as connection:
        rows = connection.execute(
            ALL_TOKENS + f" where event_id like 'cc-%' and {where}", {"files": files}
        )
        names = [each[0] for each in rows.description or []]
        values = rows.fetchone() or ()
    return +Counter(dict(zip(names, (int(each or 0) for each in values), strict=True)))


def test_an_import_waits_until_it_is_folded_and_sees_it_the_next_time(
    broker: str, lake: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(RECORDED / "-home-dev-shop" / f"{RESUMED}.jsonl", alone)

    def import_from(path: Path) -> dict[str, Any]:
        arguments = ("import", "claude-code", str(path), "--lake", str(lake))
        counts: dict[str, Any] = json.loads(
            runfold(*arguments, broker=broker, home=tmp_path).stdout
        )
        return counts

    import_from(alone)
    assert lake_tokens(lake, f"run_id = '{RESUMED}'") == count_tokens(alone)
    assert import_from(RECORDED)["already_known"] > 0
    assert lake_tokens(lake, "true") == count_tokens(RECORDED)
    assert lake_tokens(lake, f"run_id = '{RESUMED}'") == count_tokens(alone)
    for _ in range(3):
        again = import_from(RECORDED)
        assert again["events_published"] == 0
        assert again["tokens"] == count_tokens(RECORDED)
    assert lake_tokens(lake, "true") == count_tokens(RECORDED)


async def test_transcripts_imported_twice_are_in_the_log_with_their_tokens_once(
    broker: str, tmp_path: Path
) -> None:
    arguments = ("import", "claude-code", str(RECORDED))
    first = json.loads(runfold(*arguments, broker=broker, home=tmp_path).stdout)
    assert first["tokens"] == count_tokens(RECORDED)
    events, refused = await read_log(broker)
    assert len(events) == first["events_published"]
    runfold(*arguments, broker=broker, home=tmp_path)
    twice, _ = await read_log(broker)
    assert tokens_of(events) == tokens_of(twice) == count_tokens(RECORDED)
    assert not refused


async def test_the_demo_publishes_what_it_says(broker: str, tmp_path: Path) -> None:
    arguments = ("demo", "--runs", "30", "--now", "2026-01-10T12:00:00+00:00")
    said = json.loads(runfold(*arguments, broker=broker, home=tmp_path).stdout)
    events, refused = await read_log(broker)
    assert len(events) + refused.total() == said["records"]
    assert refused == {"not_avro": 2, "unknown_schema": 1, "bad_body": 1}
    fleet = [each for each in events if each.agent_name != "broken-agent"]
    assert len(fleet) == said["events"] + said["duplicates"]
    assert tokens_of(fleet) == said["tokens"]
    runfold(*arguments, broker=broker, home=tmp_path)
    again, _ = await read_log(broker)
    assert tokens_of(again) == said["tokens"]
