"""All that is done with a lake, done with one in a bucket whose server fails now and then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from runfold.deploy.embedded import KafkaServer
from runfold.producers.demo import generate_fleet
from runfold.sinks.object_path import LakePath
from tests.buckets import S3Server
from tests.independent_fold import read_log
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    publish,
    wait_until,
)
from tests.integration.test_main_job import NOW, assert_lake_tells

TIDY = ("tests.tidy_worker",)


async def test_a_lake_in_a_bucket_is_folded_compacted_audited_queried_and_replayed(
    kafka: KafkaServer, topic_name: str, tmp_path: Path, s3: S3Server
) -> None:
    root = s3.new_lake()
    lake = PlainDuckDB(root)
    await make_topics(kafka.bootstrap, topic_name)
    records = list(generate_fleet(7, NOW, 20, losses=False))
    published = 0
    with WorkerProcess(kafka.bootstrap, topic_name, root, program=TIDY) as worker:
        for part in range(2):
            published += await publish(kafka.bootstrap, topic_name, records[part::3])
            wait_until(lambda: lake.accounted() == published, "a flush", workers=[worker])  # noqa: B023
        s3.fail(status=503)
        published += await publish(kafka.bootstrap, topic_name, records[2::3])
        wait_until(lambda: "503 Service" in worker.said(), "a refusal", workers=[worker])
        worker.kill()
        s3.fail(cut=True, method="PUT", requests=4)
    with WorkerProcess(kafka.bootstrap, topic_name, root, program=TIDY) as worker:
        wait_until(lambda: lake.accounted() == published, "all folded", workers=[worker])
        assert worker.stop() == 0
    log = await read_log(kafka.bootstrap, topic_name)
    assert_lake_tells(lake, log)

    def runfold(*words: str) -> str:
        return run_command(root, tmp_path, kafka.bootstrap, topic_name, *words)

    runfold("compact", "--grace", "0")
    assert_lake_tells(lake, log)
    assert json.loads(runfold("query", "select count(*)::int as n from events", "-f", "json")) == [
        {"n": log.events}
    ]
    runfold("replay", "--into", "again", "--from-lake")
    assert "0 differ" in runfold("replay", "diff", "original", "again")
    assert json.loads(runfold("audit", "--format", "json"))["ok"]


def run_command(lake: LakePath, home: Path, broker: str, topic: str, *words: str) -> str:
    """Run a command over the lake; return what it printed. Fails where it does."""
    done = subprocess.run(
        [sys.executable, "-m", "runfold.deploy", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ
        | {"RUNFOLD_LAKE": str(lake), "RUNFOLD_BROKER": broker, "RUNFOLD_TOPIC": topic,
           "RUNFOLD_DATA_DIR": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
