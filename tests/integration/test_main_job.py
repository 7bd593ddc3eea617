"""Events in Kafka become states in the lake, whatever happens to the worker on the way."""

from __future__ import annotations

import io
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import fastavro
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from runfold.deploy.embedded import KafkaServer
from runfold.producers.demo import BadRecord, DemoRecord, generate_fleet
from runfold.schemas.codec.framing import SINGLE_OBJECT_HEADER_BYTES
from runfold.schemas.codec.registry import latest
from runfold.schemas.topic import DEAD_LETTERS
from runfold.schemas.vocabulary import DeadLetterReason
from tests.independent_fold import Log, expected_rows, read_log
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    publish,
    wait_until,
)

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


def fleet(runs: int = 30, seed: int = 7) -> list[DemoRecord]:
    return list(generate_fleet(seed, NOW, runs))


def assert_lake_tells(lake: PlainDuckDB, log: Log) -> None:
    assert lake.runs() == expected_rows(log)
    [(events, distinct)] = lake.rows(
        "select count(*), count(distinct (run_id, event_id)) from events"
    )
    assert events == distinct == log.events
    dead = lake.rows('select partition, "offset" from dead_letters order by 1, 2')
    assert dead == sorted(log.bad)
    assert log.records == log.events + log.duplicates + len(log.bad)


async def test_the_lake_tells_what_an_independent_pass_over_the_log_tells(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap, topic_name)
    published = await publish(kafka.bootstrap, topic_name, fleet())
    lake = PlainDuckDB(tmp_path / "lake")
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_until(lambda: lake.accounted() == published, "all folded", workers=[worker])
        assert worker.stop() == 0
    log = await read_log(kafka.bootstrap, topic_name)
    assert log.records == published
    assert log.duplicates > 0
    assert len(log.bad) > 5
    assert_lake_tells(lake, log)


async def test_a_worker_killed_in_the_middle_goes_on_to_the_same_states(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap, topic_name)
    records = fleet()
    lake = PlainDuckDB(tmp_path / "lake")
    published = 0
    for part in range(3):
        published += await publish(kafka.bootstrap, topic_name, records[part::3])
        with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
            seen = lake.accounted()
            wait_until(lambda: lake.accounted() > seen, "a flush", workers=[worker])  # noqa: B023
            worker.kill()
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_until(lambda: lake.accounted() == published, "all folded", workers=[worker])
        assert worker.stop() == 0
    assert_lake_tells(lake, await read_log(kafka.bootstrap, topic_name))


async def test_workers_share_the_partitions_also_with_one_that_slept_too_long(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap, topic_name, partitions=4)
    records = fleet(runs=40)
    lake = PlainDuckDB(tmp_path / "lake")
    with (
        WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as sleeper,
        WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as other,
    ):
        workers = [sleeper, other]
        wait_until(lambda: all(each.shares() for each in workers), "both share", workers=workers)
        published = await publish(kafka.bootstrap, topic_name, records[::2])
        wait_until(lambda: lake.accounted() > 0, "a flush", workers=workers)
        sleeper.process.send_signal(signal.SIGSTOP)
        published += await publish(kafka.bootstrap, topic_name, records[1::2])
        wait_until(lambda: lake.accounted() == published, "the other takes over", workers=workers)
        sleeper.process.send_signal(signal.SIGCONT)
        published += await publish(kafka.bootstrap, topic_name, fleet(runs=10, seed=8))
        wait_until(lambda: lake.accounted() == published, "both go on", workers=workers)
        assert [each.stop() for each in workers] == [0, 0]
    assert_lake_tells(lake, await read_log(kafka.bootstrap, topic_name))


async def test_bad_records_are_kept_with_their_bytes_and_the_reason(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap, topic_name, partitions=1)
    bad = [each for each in fleet() if each.bad]
    published = await publish(kafka.bootstrap, topic_name, bad)
    lake = PlainDuckDB(tmp_path / "lake")
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_until(lambda: lake.accounted() == published, "all folded", workers=[worker])
    letters = await dead_letters_of(kafka.bootstrap, topic_name, published)
    by_offset = {each["offset"]: each for each in letters}
    for offset, record in enumerate(bad):
        assert record.bad is not None
        assert by_offset[offset]["key"] == record.bad.key
        assert by_offset[offset]["value"] == record.bad.value
    reasons = dict(lake.rows("select reason, count(*) from dead_letters group by 1"))
    assert {"no_key", "not_avro", "unknown_schema", "bad_time", "missing_id"} <= reasons.keys()


async def dead_letters_of(bootstrap: str, topic: str, count: int) -> list[dict[str, object]]:
    schema = latest("dead_letter").parsed
    letters: list[dict[str, object]] = []
    async with AIOKafkaConsumer(
        DEAD_LETTERS.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        give_up_at = time.monotonic() + 30
        while len(letters) < count and time.monotonic() < give_up_at:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                # Other tests put other things there, damaged ones too.
                for record in (
                    each for each in records if each.key.startswith(f"{topic}/".encode())
                ):
                    body = io.BytesIO(record.value[SINGLE_OBJECT_HEADER_BYTES:])
                    letter = fastavro.schemaless_reader(body, schema, None)
                    assert isinstance(letter, dict)
                    letters.append(letter)
    return letters


async def test_a_record_of_ten_megabytes_is_a_dead_letter_and_the_worker_goes_on(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap, topic_name, partitions=1)
    huge = DemoRecord(0, bad=BadRecord(b"a-run", bytes(10 << 20), DeadLetterReason.TOO_LARGE))
    good = [each for each in fleet(runs=3) if each.event]
    published = await publish(kafka.bootstrap, topic_name, [*good, huge, *good])
    lake = PlainDuckDB(tmp_path / "lake")
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_until(lambda: lake.accounted() == published, "all folded", workers=[worker])
    [(offset, reason)] = lake.rows('select "offset", reason from dead_letters')
    assert (offset, reason) == (len(good), "too_large")


async def test_a_log_that_lost_what_comes_next_stops_the_worker_with_the_range(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap, topic_name, partitions=1)
    records = [each for each in fleet(runs=10) if each.event]
    await publish(kafka.bootstrap, topic_name, records[:100])
    lake = PlainDuckDB(tmp_path / "lake")
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_until(lambda: lake.accounted() == 100, "the first part", workers=[worker])
        worker.stop()
    await publish(kafka.bootstrap, topic_name, records[100:200])
    await delete_records(kafka.bootstrap, topic_name, before=150)
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
        wait_until(lambda: worker.process.poll() is not None, "the end", workers=[worker])
        assert worker.process.returncode == 1
        assert "offsets 100 to 149 are gone from the log" in worker.said()


async def delete_records(bootstrap: str, topic: str, *, before: int) -> None:
    from aiokafka.admin.records_to_delete import RecordsToDelete
    from aiokafka.structs import TopicPartition

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before)})
    finally:
        await admin.close()


async def test_a_topic_made_anew_is_another_log(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    lake = PlainDuckDB(tmp_path / "lake")
    good = [each for each in fleet(runs=3) if each.event]
    expected = 0
    for _ in range(2):
        await make_topics(kafka.bootstrap, topic_name, partitions=1)
        expected += await publish(kafka.bootstrap, topic_name, good[:50])
        with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:
            wait_until(lambda: lake.accounted() == expected, "all", workers=[worker])  # noqa: B023
            worker.stop()
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.delete_topics([topic_name])
        await admin.close()
    assert lake.rows("select count(distinct topic_id) from lake_event_files") == [(2,)]
