"""A run is erased from a running stack, broken off at every step; the log is cut off, too."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from runfold.deploy.embedded import KafkaServer
from runfold.deploy.erasing import OnStep, Subject, erase, find_left
from runfold.deploy.log_lag import log_bounds
from runfold.deploy.settings import Settings
from runfold.producers.demo import DemoRecord, generate_fleet
from runfold.producers.journal import Journal, JournalLimits
from runfold.producers.journal_folder import Owner
from runfold.producers.rejected import keep_rejected
from runfold.sinks.erasure.record import Erasure
from runfold.sinks.postgres import open_exporter
from tests.crashes import Crashed
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    publish,
    wait_until,
)
from tests.postgres_tables import rows_of

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
RUNS = "select run_id from runfold.run_rows order by 1"


def dies_at(step: int) -> OnStep:
    left = step

    def on_step(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crashed

    return on_step


def erased_in_the_end(settings: Settings, subject: Subject) -> tuple[Erasure, int]:
    """Erase, dying one step later each time; return how often it died."""
    for step in range(0, 1000, 2):
        try:
            return erase(settings, subject, on_step=dies_at(step)), step // 2
        except Crashed:
            continue
    raise AssertionError("it never ended")


def leave_journal(settings: Settings, runs: list[str], *, session: str) -> None:
    """Leave what a process recorded that died offline: an event of each run, of which the second
    is of the session, and known of nowhere else."""
    owner = Owner(f"rf{0:020x}", 1, settings.bootstrap)
    journal = Journal(settings.home / "journal", owner, JournalLimits())
    for at, run_id in enumerate(runs):
        event = {
            "event_id": f"offline-{run_id}",
            "run_id": run_id,
            "event_type": "custom",
            "occurred_at": int(NOW.timestamp() * 1e6),
        }
        journal.append(orjson.dumps({**event, "session_id": session} if at == 1 else event) + b"\n")
    journal.close()


def runfold(settings: Settings, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "runfold.deploy", *words],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={
            "PATH": "/usr/bin:/bin", "HOME": str(settings.home), "PYTHONPATH": ".",
            "RUNFOLD_DATA_DIR": str(settings.home), "RUNFOLD_BROKER": settings.bootstrap,
            "RUNFOLD_TOPIC": settings.topic, "RUNFOLD_POSTGRES": str(settings.postgres),
        },
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_nothing_is_left_of_a_run_wherever_its_erasure_was_broken_off(
    kafka_server_factory: Callable[..., KafkaServer],
    database: str,
    topic_name: str,
    tmp_path: Path,
) -> None:
    kafka = kafka_server_factory()
    kafka.start()
    kafka.wait_ready()
    settings = Settings(
        data_dir=tmp_path, broker=kafka.bootstrap, topic=topic_name, postgres=database
    )
    records = list(generate_fleet(1, NOW, runs=12, losses=False))
    letters = [each for each in records if each.bad is not None and each.bad.key]
    run_id = next(each.event["run_id"] for each in records if each.event is not None)
    bad = replace(letters[0], bad=replace(letters[0].bad, key=run_id.encode()))  # type: ignore[type-var]
    records.append(bad)
    asyncio.run(make_topics(kafka.bootstrap, topic_name))
    lake = PlainDuckDB(tmp_path / "lake")
    with WorkerProcess(kafka.bootstrap, topic_name, tmp_path / "lake") as worker:

        def put(more: list[DemoRecord], total: int) -> None:
            asyncio.run(publish(kafka.bootstrap, topic_name, more))
            wait_until(lambda: lake.accounted() == total, "all is there", workers=[worker])

        put(records, len(records))
        with open_exporter(tmp_path / "lake", database) as exporter:
            exporter.catch_up()
        subject = Subject("session", run_id)
        left = find_left(settings, subject, on_step=lambda _: None)
        assert all(left[where] for where in ("lake", "postgres", "kafka", "dead_letters"))
        others = len(rows_of(database, RUNS))
        (tmp_path / "journal").mkdir()
        for line in (b'{"run_id":"%b","x":' % run_id.encode(), b"of nobody"):
            keep_rejected(tmp_path / "journal", line, reason="bad_body", message="no event")
        [other] = lake.rows(f"select any_value(run_id) from runs where run_id <> '{run_id}'")
        leave_journal(settings, [run_id, "begun offline", *other], session=run_id)

        done, deaths = erased_in_the_end(settings, subject)
        assert deaths > 5
        assert done.removed["dead letters"] >= 1
        assert done.removed["rejected lines of journals"] == 1
        query = f"select count(*) from events where event_id = 'offline-{other[0]}'"
        assert lake.rows(query) == [(1,)]
        code, said = runfold(settings, "erase", "--session", run_id, "--verify")
        assert (code, "nothing is left" in said) == (0, True), said
        assert 0 < len(rows_of(database, RUNS)) < others
        bounds = asyncio.run(log_bounds(kafka.bootstrap, topic_name))
        assert bounds.records == 0
        code, said = runfold(settings, "dlq", "ls", "--each", "--format", "json")
        assert len(json.loads(said)) == sum(each.bad is not None for each in records) - 1
        code, said = runfold(settings, "audit")
        assert (code, "erased" in said) == (0, True), said
        assert runfold(settings, "replay", "--into", "again")[0] == 2  # the topic is cut off
        assert runfold(settings, "replay", "--from-lake", "--into", "again")[0] == 0
        assert runfold(settings, "replay", "diff", "original", "again")[0] == 0

        event = next(each.event for each in records if each.event is not None)
        assert event["run_id"] == run_id
        new_run = {"run_id": "not known before", "session_id": run_id, "event_id": "late, too"}
        late = [
            DemoRecord(0, event={**event, "event_id": "of a journal that came late"}),
            DemoRecord(0, event={**event, **new_run}),
        ]
        put(late, len(records) + 5)
        code, said = runfold(settings, "erase", "--session", run_id, "--verify")
        assert (code, "left in lake" in said, "left in kafka" in said) == (1, True, True), said
        code, said = runfold(settings, "erase", "--again", "--verify")
        assert (code, "left in lake" in said, run_id in said) == (1, True, False), said
        code, said = runfold(settings, "erase", "--again", "--yes", "--format", "json")
        again = json.loads(said)
        assert (code, again["clean"], len(again["receipts"])) == (0, True, 1), said
        assert again["receipts"][0]["runs"] == len(done.runs) + 1
        assert runfold(settings, "erase", "--session", run_id, "--verify")[0] == 0
        code, said = runfold(settings, "erase", "--again", "--yes")
        assert (code, "erasure" in said) == (0, False), said  # nothing came back

        others_again = [each for each in records if each is not bad]
        put(others_again[-50:], len(records) + 55)
        code, said = runfold(settings, "retention", "--events", "keep", "--kafka", "0s", "--yes")
        assert (code, "50 records deleted" in said) == (0, True), said
        assert runfold(settings, "audit")[0] == 0
        assert worker.stop() == 0
