"""A worker that merges the files of the lake while it folds."""

from __future__ import annotations

from pathlib import Path

from runfold.deploy.embedded import KafkaServer
from tests.independent_fold import read_log
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    publish,
    wait_until,
)
from tests.integration.test_main_job import assert_lake_tells, fleet

TIDY = ("tests.tidy_worker",)


async def test_a_worker_compacts_what_it_folds_and_another_one_goes_on_from_that(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap, topic_name)
    root = tmp_path / "lake"
    lake = PlainDuckDB(root)
    records = fleet()
    published = 0
    with WorkerProcess(kafka.bootstrap, topic_name, root, program=TIDY) as worker:
        for part in range(7):  # at least so many flushes
            published += await publish(kafka.bootstrap, topic_name, records[part::8])
            wait_until(lambda: lake.accounted() == published, "a flush", workers=[worker])  # noqa: B023
        wait_until(lambda: "lake.files_merged" in worker.said(), "a merge", workers=[worker])
        assert worker.stop() == 0
        assert "upkeep failed" not in worker.said()
    published += await publish(kafka.bootstrap, topic_name, records[7::8])
    with WorkerProcess(kafka.bootstrap, topic_name, root, program=TIDY) as worker:
        wait_until(lambda: lake.accounted() == published, "all folded", workers=[worker])
        assert worker.stop() == 0
    assert_lake_tells(lake, await read_log(kafka.bootstrap, topic_name))
