"""The restore drill: a backup of a running stack, a machine without anything, and all is there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runfold.deploy.embedded import KafkaServer
from runfold.deploy.log_lag import log_bounds
from runfold.deploy.topic_copies import put_topic_back
from runfold.producers.demo import DemoRecord, generate_fleet
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.topic import DEAD_LETTERS
from runfold.sinks.backup.manifest import KeptTopic
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    publish,
    wait_until,
)

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
EVENTS = 'select run_id, event_id, "offset" from events order by all'

LETTERS = ("dlq", "ls", "--each", "--format", "json", "--limit", "1000")


class Commands:
    """The command line over one lake and one topic, which it finds in its environment."""

    def __init__(self, bootstrap: str, topic: str, lake: Path) -> None:
        self._environment = {
            "PATH": "/usr/bin:/bin", "HOME": str(lake.parent), "PYTHONPATH": ".",
            "RUNFOLD_BROKER": bootstrap, "RUNFOLD_TOPIC": topic, "RUNFOLD_LAKE": str(lake),
        }  # fmt: skip

    def __call__(self, *words: str) -> str:
        """Run a command; return what it printed. Fails where it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "runfold.deploy", *words],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            env=self._environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


async def test_a_lost_machine_is_restored_audited_and_goes_on(
    kafka_server_factory: Callable[..., KafkaServer], topic_name: str, tmp_path: Path
) -> None:
    first, later, after = (
        list(generate_fleet(seed, NOW, runs=15, losses=False)) for seed in (1, 2, 3)
    )
    place = str(tmp_path / "backups")
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old_lake, new_lake = tmp_path / "old" / "lake", tmp_path / "new" / "lake"
    kafka = kafka_server_factory()
    kafka.start()
    kafka.wait_ready()
    await make_topics(kafka.bootstrap, topic_name)
    runfold = Commands(kafka.bootstrap, topic_name, old_lake)
    lake = PlainDuckDB(old_lake)
    with WorkerProcess(kafka.bootstrap, topic_name, old_lake) as worker:
        await publish(kafka.bootstrap, topic_name, first)
        wait_until(lambda: lake.accounted() == len(first), "all is there", workers=[worker])
        runfold("backup", place)
        await publish(kafka.bootstrap, topic_name, later)  # the second backup runs meanwhile
        told = json.loads(runfold("backup", place, "--format", "json"))
        assert told["topics"][DEAD_LETTERS.name] >= _bad(first)
        total = len(first) + len(later)
        wait_until(lambda: lake.accounted() == total, "all is there", workers=[worker])
        told = json.loads(runfold("backup", place, "--keep", "2", "--format", "json"))
        assert (told["not_in_lake"], len(told["removed"])) == (0, 1)
        before = lake.rows(EVENTS), lake.runs()
        letters = json.loads(runfold(*LETTERS))
    runfold("backup", place, "--verify")
    kafka.kill()  # and the machine with its disk

    kafka = kafka_server_factory()
    kafka.start()
    kafka.wait_ready()
    runfold = Commands(kafka.bootstrap, topic_name, new_lake)
    runfold("restore", place)
    restored = PlainDuckDB(new_lake)
    assert (restored.rows(EVENTS), restored.runs()) == before
    assert json.loads(runfold(*LETTERS)) == letters
    bounds = await log_bounds(kafka.bootstrap, topic_name)
    assert (len(bounds.next_offsets), bounds.records) == (3, 0)
    with WorkerProcess(kafka.bootstrap, topic_name, new_lake) as worker:
        await publish(kafka.bootstrap, topic_name, after)
        wait_until(
            lambda: restored.accounted() == total + len(after), "it goes on", workers=[worker]
        )
        assert json.loads(runfold("audit", "--format", "json"))["ok"]
        assert worker.stop() == 0
    assert len(restored.rows("select distinct topic_id from events")) == 2


def _bad(records: Iterable[DemoRecord]) -> int:
    return sum(each.bad is not None for each in records)


async def test_a_topic_of_other_records_is_left_as_it_is(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from runfold.deploy.topic_copies import COPY_COLUMNS

    def copy(name: str, values: list[bytes]) -> Path:
        rows = [
            {"partition": 0, "offset": at, "timestamp_ms": 0, "key": b"k", "value": value,
             "headers": [{"name": "h", "value": None}]}
            for at, value in enumerate(values)
        ]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows, COPY_COLUMNS), tmp_path / name)
        return tmp_path / name

    topic = KeptTopic(topic_name, 1, {"cleanup.policy": "compact"}, None)
    whole, part = copy("whole", [b"1", b"2", b"3"]), copy("part", [b"1"])
    assert await put_topic_back(kafka.bootstrap, topic, part) == 1  # it was broken off there
    assert await put_topic_back(kafka.bootstrap, topic, whole) == 2
    assert await put_topic_back(kafka.bootstrap, topic, whole) == 0
    with pytest.raises(ConfigurationError, match="other records"):
        await put_topic_back(kafka.bootstrap, topic, copy("other", [b"1", b"x"]))
