"""What becomes of the lake when its log is replaced, widened or cut off under a worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.structs import TopicPartition

from runfold.deploy.embedded import KafkaServer
from runfold.producers.demo import DemoRecord, generate_fleet
from tests.integration.stack_parts import (
    WAIT_SECONDS,
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    publish,
    wait_until,
)

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def fleet(seed: int) -> list[DemoRecord]:
    return [each for each in generate_fleet(seed, NOW, runs=20) if each.event is not None]


def ids_of(records: list[DemoRecord]) -> set[str]:
    return {each.event["event_id"] for each in records if each.event is not None}


@asynccontextmanager
async def admin_of(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def runfold(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runfold.deploy", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_for_records(lake: PlainDuckDB, worker: WorkerProcess, records: int) -> None:
    wait_until(lambda: lake.accounted() == records, f"{records} in the lake", workers=[worker])


async def test_a_topic_that_is_created_again_is_another_log_and_is_never_mixed(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    lake = PlainDuckDB(tmp_path / "lake")
    await make_topics(kafka.bootstrap, topic_name)
    old, new = fleet(1), fleet(2)
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        await publish(kafka.bootstrap, topic_name, old)
        wait_for_records(lake, worker, len(old))
        before = set(lake.rows("select topic_id, event_id from events"))
        async with admin_of(kafka.bootstrap) as admin:
            await admin.delete_topics([topic_name])
        wait_until(
            lambda: f"has no topic '{topic_name}'" in worker.said() or "starting over" in
            worker.said(), "it is missed", workers=[worker],
        )  # fmt: skip
        await make_topics(kafka.bootstrap, topic_name)
        await publish(kafka.bootstrap, topic_name, new)
        wait_for_records(lake, worker, len(old) + len(new))
        assert worker.stop() == 0
    assert "was deleted and created again" in worker.said() or "has no topic" in worker.said()
    after = lake.rows("select topic_id, event_id from events")
    [old_id] = {topic_id for topic_id, _ in before}
    assert {row for row in after if row[0] == old_id} == before
    assert {event_id for topic_id, event_id in after if topic_id != old_id} == ids_of(new)


async def test_added_partitions_halt_the_worker_until_they_are_accepted(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    lake = PlainDuckDB(tmp_path / "lake")
    await make_topics(kafka.bootstrap, topic_name, partitions=3)
    first, second = fleet(3), fleet(4)
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        await publish(kafka.bootstrap, topic_name, first)
        wait_for_records(lake, worker, len(first))
        async with admin_of(kafka.bootstrap) as admin:
            await admin.create_partitions({topic_name: NewPartitions(5)})
        await publish(kafka.bootstrap, topic_name, second)
        assert worker.process.wait(WAIT_SECONDS) == 1
    assert "has 5 partitions and began with 3" in worker.said()
    assert lake.accounted() == len(first)
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        assert worker.process.wait(WAIT_SECONDS) == 1
    accepted = runfold(
        *("accept", "partitions", "--yes", "--broker", kafka.bootstrap, "--topic", topic_name),
        *("--lake", str(tmp_path / "lake")),
    )
    assert (accepted.returncode, "began with 3 partitions and has 5" in accepted.stdout) == (0, 1)
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_for_records(lake, worker, len(first) + len(second))
        assert worker.stop() == 0
    [(events, distinct)] = lake.rows("select count(*), count(distinct event_id) from events")
    assert events == distinct


async def test_what_retention_took_from_a_stopped_worker_is_named_and_can_be_accepted(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    lake = PlainDuckDB(tmp_path / "lake")
    await make_topics(kafka.bootstrap, topic_name, partitions=1)
    first, missed, later = fleet(5), fleet(6), fleet(7)
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        await publish(kafka.bootstrap, topic_name, first)
        wait_for_records(lake, worker, len(first))
        assert worker.stop() == 0
    await publish(kafka.bootstrap, topic_name, missed)
    cut_at = len(first) + len(missed)
    async with admin_of(kafka.bootstrap) as admin:
        await admin.delete_records(
            {TopicPartition(topic_name, 0): RecordsToDelete(before_offset=cut_at)}
        )
    await publish(kafka.bootstrap, topic_name, later)
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        assert worker.process.wait(WAIT_SECONDS) == 1
    hole = f"{len(first)} to {cut_at - 1}"
    assert f"offsets {hole} are gone" in worker.said()
    assert "runfold accept loss" in worker.said()
    places = ("--broker", kafka.bootstrap, "--topic", topic_name, "--lake", str(tmp_path / "lake"))
    accepted = runfold("accept", "loss", "--yes", *places)
    assert f"offsets {len(first)}-{cut_at - 1} are gone" in accepted.stdout
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_for_records(lake, worker, cut_at + len(later))
        assert worker.stop() == 0
    stored = lake.rows("select event_id from events order by 1")
    assert stored == sorted((event_id,) for event_id in ids_of(first) | ids_of(later))
    assert "nothing is lost" in runfold("accept", "loss", *places).stdout
