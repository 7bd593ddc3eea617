"""Folding a log again: from the topic, from the lake alone, by another fold, and switching."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from runfold.deploy.embedded import KafkaServer
from runfold.producers.demo import DemoRecord, generate_fleet
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    publish,
    wait_until,
)

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
STORED = """select coalesce(sum(last - first + 1), 0)::int,
    (select sum(events) from runs) = (select count(*) from events) from lake_event_files"""
PAID = "select coalesce(sum(cost_usd), 0) > 0 from runs"


class Runfold:
    """The command line over one lake and one topic."""

    def __init__(self, bootstrap: str, topic: str, lake: Path) -> None:
        self._broker, self._topic, self._lake = bootstrap, topic, lake

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command; return what it printed. Fails where it ends with another code."""
        done = subprocess.run(
            [sys.executable, "-m", "runfold.deploy", *words, "--lake", str(self._lake)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self._lake.parent), "PYTHONPATH": ".",
                 "RUNFOLD_BROKER": self._broker, "RUNFOLD_TOPIC": self._topic},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


async def cut_off(bootstrap: str, topic: str, ends: dict[int, int]) -> None:
    """Delete all records before `ends`, as retention would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(topic, each): RecordsToDelete(end) for each, end in ends.items()}
        )
    finally:
        await admin.close()


async def test_a_log_is_replayed_compared_promoted_and_switched_back(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "lake"
    lake, runfold = PlainDuckDB(folder), Runfold(kafka.bootstrap, topic_name, folder)
    await make_topics(kafka.bootstrap, topic_name)
    first, later = list(generate_fleet(1, NOW, runs=30)), list(generate_fleet(2, NOW, runs=10))
    with WorkerProcess(kafka.bootstrap, topic_name, folder) as worker:

        async def put(records: list[DemoRecord], total: int) -> None:
            await publish(kafka.bootstrap, topic_name, records)
            wait_until(lambda: lake.rows(STORED) == [(total, True)], "all is there",
                       workers=[worker])  # fmt: skip

        await put(first, len(first))
        runfold("replay", "--into", "again")
        assert "0 differ" in runfold("replay", "diff", "original", "again")
        assert "records replayed" in runfold("replay", "--into", "again")  # goes on: nothing to do

        free = "tests.other_folds:free_of_charge"
        runfold("replay", "--into", "free", "--fold", free)
        told = json.loads(
            runfold("replay", "diff", "original", "free", "--format", "json", code=1)
        )[0]
        assert told["different"] > 0 == told["only_in_a"] == told["only_in_b"]
        columns = {each["column"] for run in told["runs"] for each in run["differences"]}
        assert columns == {"cost_nano_usd"}
        assert lake.rows(PAID) == [(True,)]

        runfold("replay", "promote", "free")
        assert lake.rows(PAID) == [(False,)]
        await put(later, len(first) + len(later))
        assert "states_switched" in worker.said()
        [(runs_free,)] = lake.rows("select count(*) from runs")
        assert lake.rows(PAID) == [(False,)]

        runfold("replay", "promote", "original")
        assert lake.rows(PAID) == [(True,)]
        assert lake.rows("select count(*) from runs") == [(runs_free,)]
        assert "serves" in runfold("replay", "rm", "original", code=2)
        runfold("replay", "rm", "free")
        assert worker.stop() == 0
    names = [each["name"] for each in json.loads(runfold("replay", "ls", "--format", "json"))]
    assert names == ["original", "again"]


async def test_the_lake_alone_is_enough_when_the_log_has_been_cut_off(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "lake"
    lake, runfold = PlainDuckDB(folder), Runfold(kafka.bootstrap, topic_name, folder)
    await make_topics(kafka.bootstrap, topic_name)
    fleet = list(generate_fleet(3, NOW, runs=30))
    with WorkerProcess(kafka.bootstrap, topic_name, folder) as worker:
        await publish(kafka.bootstrap, topic_name, fleet)
        wait_until(lambda: lake.accounted() == len(fleet), "all is there", workers=[worker])
        assert worker.stop() == 0
    ends = lake.rows("select partition, max(last) + 1 from lake_event_files group by 1")
    await cut_off(kafka.bootstrap, topic_name, dict(ends))
    assert "use --from-lake" in runfold("replay", "--into", "again", code=2)
    runfold("replay", "--from-lake", "--into", "again")
    assert "0 differ" in runfold("replay", "diff", "original", "again")

    runfold("replay", "--from-lake", "--from-offset", "40", "--into", "part")
    assert "cannot serve" in runfold("replay", "promote", "part", code=2)
    runfold("replay", "--from-lake", "--since", "1h", "--into", "recent")
    assert "0 differ" in runfold("replay", "diff", "original", "recent")
    runfold("replay", "--from-lake", "--fold", "tests.other_folds:events_only", "--into", "counts")
    differing = runfold("replay", "diff", "original", "counts", "--format", "json", code=1)
    columns = {
        each["column"] for run in json.loads(differing)[0]["runs"] for each in run["differences"]
    }
    assert not columns & {"events", "last_offset", "last_recorded_at", "seen"}

    for words, said in (
        (("--into", "Bad Name"), "not a name for a replay"),
        (("--into", "x", "--fold", "nope"), "no fold 'nope'"),
        (("--into", "x", "--fold", "nope:f"), "cannot be loaded"),
        (("--into", "x", "--since", "1h", "--from-offset", "3"), "give one"),
        (("--into", "part", "--from-lake"), "take another name"),
        (("promote", "nothing"), "there are original, again"),
        (("diff", "original", "nothing"), "there are original, again"),
    ):
        assert said in runfold("replay", *words, code=2)
