"""The export to a real PostgreSQL: what it holds is what the lake holds, however it got there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.producers.demo import generate_fleet
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import ConfigurationError, LakeUnavailable
from runfold.schemas.event import Event
from runfold.schemas.lake import LogDescription
from runfold.schemas.offsets import LogPartition
from runfold.schemas.silence import SilenceRule
from runfold.sinks.lake import LocalLake
from runfold.sinks.objects import LakeObjects
from runfold.sinks.postgres import ExportCounts, open_exporter
from runfold.sinks.postgres.connecting import PostgresRefused, PostgresUnavailable, connect
from runfold.sinks.retention.expiring import expire
from runfold.sinks.retention.plan import plan_expiry
from runfold.sinks.state_sets import StateSet, serve, write_set
from tests.buckets import S3Server
from tests.integration.stack_parts import wait_until
from tests.lakes_of_events import LOG, NOON_US, LakeOfEvents, event, now_us
from tests.postgres_tables import Row, all_tables, rows_of, rows_of_lake

OTHER_LOG = LogPartition(LOG.topic_id, 1)
HOUR = 3600


def runfold(*words: str, postgres: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runfold.deploy", *words],
        env=os.environ | ({"RUNFOLD_POSTGRES": postgres} if postgres else {}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a lake of a made-up fleet: sub-runs, late and repeated events, damaged records."""
    root = tmp_path_factory.mktemp("fleet")
    lake = LakeOfEvents(root)
    encode = SparseEncoder(latest("event"))
    records = [
        (each.bad.key or b"", each.bad.value or b"")
        if each.bad is not None
        else (str((each.event or {})["run_id"]).encode(), encode(each.event or {}))
        for each in generate_fleet(7, datetime.now(UTC), 30)
    ]
    for start in range(0, len(records), 400):
        lake.put_records(records[start : start + 400], recorded_at_us=now_us())
    return root


def comparable(rows: list[Row]) -> list[Row]:
    """Return rows without what differs by the moment or by the last bit of a number."""
    return [
        {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in row.items()
            if name not in ("silent_ms", "metrics", "attributes")
        }
        for row in rows
    ]


def test_the_tables_say_of_a_fleet_what_the_lake_says(fleet: Path, database: str) -> None:
    with open_exporter(fleet, database, offsets_a_step=600) as exporter:
        done = exporter.catch_up()
        assert done.steps > 1
        assert not exporter.catch_up().changed
    runs = rows_of(database, "select * from runfold.runs order by run_id")
    columns = ", ".join(f'"{name}"' for name in runs[0] if name != "partition")
    assert len(runs) > 30
    for row in runs:
        assert row.pop("partition") == 0
    assert comparable(runs) == comparable(
        rows_of_lake(fleet, f"select {columns} from runs order by run_id")
    )
    for of_postgres, of_lake in {
        "events_recent": "events",
        "dead_letters": "dead_letters",
        "errors": "events where event_type = 'error.raised' or error_type is not null"
        " or error_message is not null",
    }.items():
        counted = rows_of(database, f"select count(*) as n from runfold.{of_postgres}")
        assert counted == rows_of_lake(fleet, f"select count(*) as n from {of_lake}")
        assert counted[0]["n"] > 0
    [spent] = rows_of(database, "select sum(cost_usd) as usd from runfold.costs_daily")
    [true] = rows_of_lake(fleet, "select sum(cost_usd) as usd from events")
    assert spent["usd"] == pytest.approx(true["usd"])


def test_an_orphan_is_told_by_the_rule_that_holds_everywhere(database: str, tmp_path: Path) -> None:
    with open_exporter(LakeOfEvents(tmp_path).root, database):
        pass
    rule = SilenceRule()
    for heartbeats, silence in ((1, rule.with_heartbeats), (0, rule.without_heartbeats)):
        for ms, status in ((0, "running"), (1, "orphaned")):
            after = silence.total_seconds() * 1000 + ms
            question = (
                f"select runfold.status_after('running', {heartbeats}, {after:.0f}) as status"
            )
            assert rows_of(database, question) == [{"status": status}]


_RUNS = ("r1", "r2", "r3", "r4")


@st.composite
def _events(draw: st.DrawFn) -> Event:
    kind = draw(
        st.sampled_from(
            [
                "run.started",
                "run.updated",
                "run.ended",
                "llm.called",
                "tool.ended",
                "metric.recorded",
                "error.raised",
                "transcript.saved",
                "custom",
            ]
        )
    )
    fields: dict[str, Any] = {}
    if kind.startswith("run."):
        fields["agent_name"] = draw(st.sampled_from([None, "a", "b"]))
        fields["parent_run_id"] = draw(st.sampled_from([None, None, *_RUNS]))
        fields["status"] = draw(st.sampled_from([None, "success", "failed"]))
    number = draw(st.sampled_from([0.1, 0.2, 7.5, float("nan"), float("inf"), 1e300, -1.0]))
    text = draw(st.sampled_from(["x", "", "a\x00b", '"', "\\.", "\n\\.\n", "é,\r\n", "NULL"]))
    attributes = draw(st.sampled_from(['{"k":"\\u0000"}', "no json", '{"part":1,"messages":[1]}']))
    return event(
        draw(st.sampled_from(_RUNS)),
        kind,
        draw(st.sampled_from([0, 1, HOUR, 30 * HOUR])) + draw(st.integers(0, 3)),
        event_id=f"id {draw(st.integers(0, 10**6))}",
        name=text,
        error_message=text if kind == "error.raised" else None,
        tool_name=draw(st.sampled_from([None, text])),
        model=draw(st.sampled_from([None, "m"])),
        value=number,
        duration_ms=number,
        cost_usd=number if kind in ("llm.called", "tool.ended") else None,
        input_tokens=draw(st.sampled_from([None, 3])),
        attributes=attributes,
        **fields,
    )


_FLUSHES = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.lists(_events(), min_size=1, max_size=5), st.booleans()),
    min_size=1,
    max_size=6,
)


@given(flushes=_FLUSHES)
@settings(
    max_examples=5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_however_it_was_exported_the_tables_are_those_of_a_rebuild(
    database: str, flushes: list[tuple[int, list[Event], bool]]
) -> None:
    root = Path(tempfile.mkdtemp())
    lakes = [LakeOfEvents(root, LOG), LakeOfEvents(root, OTHER_LOG)]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop schema if exists runfold cascade")
    recorded_at = now_us()
    with open_exporter(root, database, offsets_a_step=3) as exporter:
        for log, events, export in flushes:
            # A run is in one partition: half of them in each.
            mine = [each for each in events if (each.run_id in ("r1", "r2")) == (log == 0)]
            if mine:
                lakes[log].put(*mine, recorded_at_us=recorded_at)
                lakes[log].put_records([(b"key", b"no event")], recorded_at_us=recorded_at)
            if export:
                exporter.catch_up()
        exporter.catch_up()
        exported = all_tables(database)
        exporter.rebuild()
    assert exported == all_tables(database)
    shutil.rmtree(root)


def test_a_late_event_and_a_new_name_correct_what_was_said_of_the_past(
    database: str, tmp_path: Path
) -> None:
    lake = LakeOfEvents(tmp_path)
    spent = {"cost_usd": 0.5, "model": "m"}
    lake.put(
        event("child", "run.started", agent_name="helper", parent_run_id="parent"),
        event("child", "llm.called", 1, **spent),
        event("child", "metric.recorded", 2, name="quality", value=1.0),
        recorded_at_us=now_us(),
    )
    costs = "select agent_name, cost_usd, tree_cost_usd from runfold.costs_daily order by 1"
    figures = "select agent_name, count, sum from runfold.metrics_hourly"
    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up()
        assert rows_of(database, costs) == [
            {"agent_name": "helper", "cost_usd": 0.5, "tree_cost_usd": 0.5}
        ]
        lake.put(event("parent", "run.started", agent_name="boss"), recorded_at_us=now_us())
        exporter.catch_up()
        assert rows_of(database, costs) == [
            {"agent_name": "boss", "cost_usd": 0.0, "tree_cost_usd": 0.5},
            {"agent_name": "helper", "cost_usd": 0.5, "tree_cost_usd": 0.5},
        ]
        lake.put(
            event("child", "metric.recorded", 1, name="quality", value=2.0, event_id="late"),
            event("child", "run.updated", 9, agent_name="expert"),
            recorded_at_us=now_us(),
        )
        exporter.catch_up()
        assert rows_of(database, figures) == [{"agent_name": "expert", "count": 2, "sum": 3.0}]
        assert [row["agent_name"] for row in rows_of(database, costs)] == ["boss", "expert"]


def test_an_event_that_comes_while_figures_are_computed_does_not_wait_for_all_of_them(
    database: str, tmp_path: Path
) -> None:
    lake = LakeOfEvents(tmp_path)
    lake.put(
        event("r", "metric.recorded", name="q", value=1.0),
        event("r", "llm.called", 1, cost_usd=0.5),
        recorded_at_us=now_us(),
    )
    seen = []

    def on_step(step: ExportCounts) -> None:
        if step.records == 2:  # the figures of these are computed next
            lake.put(event("r", "run.ended", 2), recorded_at_us=now_us())
        elif step.records:
            seen.append(rows_of(database, "select count(*) as n from runfold.event_rows"))
            seen.append(rows_of(database, "select count(*) as n from runfold.metrics_hourly"))
            seen.append(rows_of(database, "select count(*) as n from runfold.costs_daily"))

    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up(on_step)
    assert [rows[0]["n"] for rows in seen] == [3, 1, 0]
    assert rows_of(database, "select count(*) as n from runfold.costs_daily") == [{"n": 1}]


def test_what_the_lake_lost_and_other_states_that_serve_are_noticed(
    database: str, tmp_path: Path
) -> None:
    lake = LakeOfEvents(tmp_path)
    for at in range(3):
        lake.put(event(f"r{at}", "run.started", at), recorded_at_us=now_us())
    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up()
        lost = next(tmp_path.glob("a-topic/events/*/*/p00-000000000001-*.parquet"))
        lost.unlink()
        assert exporter.catch_up().reason == "the lake has lost events that were exported"
        [kept] = rows_of(database, "select count(*) as events from runfold.events_recent")
        assert kept == {"events": 2}
        assert exporter.catch_up().reason is None

        write_set(tmp_path, StateSet("empty"))
        serve(tmp_path, "empty")
        LocalLake(tmp_path)  # as every worker does
        assert exporter.catch_up().reason == "another set of states serves"
        assert rows_of(database, "select * from runfold.runs") == []


def test_rows_that_are_gone_are_noticed_by_the_next_export(database: str, tmp_path: Path) -> None:
    lake = LakeOfEvents(tmp_path)
    lake.put(event("a", "run.started"), event("a", "run.ended", 1), recorded_at_us=now_us())
    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up()
    place = next(tmp_path.glob("a-topic/events/*/*/p00-*.parquet"))
    pl.read_parquet(place).head(1).write_parquet(place)  # as an erasure leaves it
    with open_exporter(tmp_path, database) as exporter:
        assert exporter.catch_up().reason == "the lake has not the rows that were exported"
        assert exporter.catch_up().reason is None
    assert rows_of(database, "select count(*) as n from runfold.events_recent") == [{"n": 1}]


def test_what_retention_took_stays_as_it_was_exported(database: str, tmp_path: Path) -> None:
    lake = LakeOfEvents(tmp_path)
    quality: dict[str, Any] = {"name": "quality", "value": 1.0}
    lake.put(
        event("old", "metric.recorded", **quality), recorded_at_us=now_us(ago_seconds=3 * HOUR)
    )
    lake.put(event("new", "metric.recorded", HOUR, **quality), recorded_at_us=now_us())
    figures = "select count from runfold.metrics_hourly order by hour"
    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up()
        next(tmp_path.glob("a-topic/events/*/*/p00-000000000000-*.parquet")).unlink()
        lake.put(
            event("late", "metric.recorded", 1, **quality),
            event("late", "metric.recorded", 2, **quality),
            event("late", "metric.recorded", 2 * HOUR, **quality),
            recorded_at_us=now_us(),
        )
        for done in (exporter.catch_up(), exporter.rebuild()):
            assert done.reason in (None, "asked for")
            assert rows_of(database, figures) == [{"count": 1}, {"count": 1}, {"count": 1}]
            assert rows_of(database, "select count(*) as n from runfold.event_rows") == [{"n": 5}]
    with open_exporter(tmp_path, database) as exporter:
        assert not exporter.catch_up().changed


def test_what_was_removed_by_age_stays_as_it_was_exported(database: str, tmp_path: Path) -> None:
    lake = LakeOfEvents(tmp_path)
    quality: dict[str, Any] = {"name": "quality", "value": 1.0}
    lake.put(
        event("old", "metric.recorded", **quality), recorded_at_us=now_us(ago_seconds=72 * HOUR)
    )
    lake.put_records([(b"key", b"no event")], recorded_at_us=now_us(ago_seconds=72 * HOUR))
    lake.put(event("new", "metric.recorded", HOUR, **quality), recorded_at_us=now_us())
    figures = "select count from runfold.metrics_hourly order by hour"
    rows = "select count(*) as n from runfold.event_rows"
    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up()
        plans, _ = plan_expiry(tmp_path, datetime.now(UTC).date() - timedelta(days=1))
        expire(tmp_path, plans, timedelta(0), on_log=lambda _: None)
        lake.put(event("late", "metric.recorded", 1, **quality), recorded_at_us=now_us())
        for done in (exporter.catch_up(), exporter.rebuild()):
            assert done.reason in (None, "asked for")
            assert rows_of(database, figures) == [{"count": 1}, {"count": 1}]
            assert rows_of(database, rows) == [{"n": 3}]
            assert rows_of(database, "select count(*) as n from runfold.dead_letters") == [{"n": 1}]
    with open_exporter(tmp_path, database) as exporter:
        assert not exporter.catch_up().changed


@pytest.mark.parametrize("grace", [timedelta(0), timedelta(hours=1)])
def test_a_partition_of_which_no_event_is_left_is_nothing_special(
    database: str, tmp_path: Path, grace: timedelta
) -> None:
    other, lake = LakeOfEvents(tmp_path, OTHER_LOG), LakeOfEvents(tmp_path)
    LocalLake(tmp_path).describe(LogDescription(LOG.topic_id, "runfold.events", 2))
    quality: dict[str, Any] = {"name": "quality", "value": 1.0}
    today = (now_us() - NOON_US) / 1_000_000
    other.put(
        event("old", "metric.recorded", **quality), recorded_at_us=now_us(ago_seconds=72 * HOUR)
    )
    lake.put(event("new", "metric.recorded", today, **quality), recorded_at_us=now_us())
    figures = "select count from runfold.metrics_hourly order by hour"
    runs = "select run_id from runfold.event_rows order by 1"
    ends = {"runfold.events": {0: 2, 1: 1}}
    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up()
        plans, _ = plan_expiry(tmp_path, datetime.now(UTC).date() - timedelta(days=1))
        expire(tmp_path, plans, grace, on_log=lambda _: None)
        lake.put(event("new2", "metric.recorded", today, **quality), recorded_at_us=now_us())
        for done in (exporter.catch_up(), exporter.catch_up(), exporter.rebuild()):
            assert done.reason in (None, "asked for")
            assert rows_of(database, figures) == [{"count": 1}, {"count": 2}]
            assert [row["run_id"] for row in rows_of(database, runs)] == ["new", "new2", "old"]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("delete from runfold.pipeline_health")
    with open_exporter(tmp_path, database, log_ends=lambda: ends) as exporter:
        assert not exporter.catch_up().changed
    [health] = rows_of(database, "select records, holes, lag_records from runfold.pipeline_health")
    assert health == {"records": 2, "holes": 0, "lag_records": 0}
    other.put(event("late", "metric.recorded", today, **quality), recorded_at_us=now_us())
    with open_exporter(tmp_path, database) as exporter:
        assert exporter.catch_up().reason is None
    assert rows_of(database, figures) == [{"count": 1}, {"count": 3}]


def test_the_health_of_the_pipeline_is_written_down(database: str, tmp_path: Path) -> None:
    lake = LakeOfEvents(tmp_path)
    LocalLake(tmp_path).describe(LogDescription(LOG.topic_id, "runfold.events", 1))
    minted = f"{'rf' + '0' * 20}.1"
    once = event("a", "run.started", event_id=f"{minted}-1")
    lake.put(
        once, once, event("a", "run.ended", 5, event_id=f"{minted}-4"), recorded_at_us=now_us()
    )
    lake.put_records([(b"key", b"no event")], recorded_at_us=now_us())
    ends = {"runfold.events": {0: 10, 1: 7}}
    with open_exporter(tmp_path, database, log_ends=lambda: ends) as exporter:
        exporter.catch_up()
        exporter.catch_up()
    [health] = rows_of(database, "select * from runfold.pipeline_health")
    assert health["freshness_seconds"] >= 0
    assert {name: health[name] for name in ("topic", "records", "events", "duplicates",
            "dead_letters", "missing", "holes", "lag_records")} == {
        "topic": "runfold.events", "records": 4, "events": 2, "duplicates": 1,
        "dead_letters": 1, "missing": 2, "holes": 0, "lag_records": 13,
    }  # fmt: skip


def test_a_lake_in_a_bucket_is_exported_like_one_on_a_disk(
    database: str, tmp_path: Path, s3: S3Server
) -> None:
    root = s3.new_lake()
    spent: dict[str, Any] = {"cost_usd": 0.5, "model": "m", "agent_name": "a"}
    on_disk, lake = LakeOfEvents(tmp_path), LakeOfEvents(root)  # type: ignore[arg-type]
    transcript = b'{"messages":["a","b"]}'
    named = {"sha256": hashlib.sha256(transcript).hexdigest(), "bytes": len(transcript)}
    LakeObjects(root).put(transcript)
    LakeObjects(tmp_path).put(transcript)
    first = (
        event("r", "llm.called", **spent),
        event("r", "transcript.saved", 1, attributes=json.dumps({"runfold.object": named})),
    )
    recorded_at = now_us()
    for each in (on_disk, lake):
        each.put(*first, recorded_at_us=recorded_at)
    with open_exporter(root, database) as exporter:
        assert exporter.catch_up().records == 2
        for each in (on_disk, lake):
            each.put(event("r", "run.ended", 3), recorded_at_us=recorded_at)
        s3.fail(status=403)
        with pytest.raises(LakeUnavailable):
            exporter.catch_up()
        s3.fail()
        assert exporter.catch_up().records == 1
    done = runfold("export", "--lake", str(root), "--rebuild", "-f", "json", postgres=database)
    assert done.returncode == 0, done.stderr
    exported = all_tables(database)
    assert "'messages': ['a', 'b']" in exported["transcript_rows"][0]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop schema runfold cascade")
    with open_exporter(tmp_path, database) as exporter:
        exporter.catch_up()
    assert exported == all_tables(database)


def test_readers_see_the_old_rows_until_a_rebuild_is_done_and_others_wait(
    database: str, fleet: Path
) -> None:
    question = "select count(*) as runs from runfold.runs"
    with open_exporter(fleet, database, offsets_a_step=500) as exporter:
        exporter.catch_up()
        before = rows_of(database, question)
        seen = []
        exporter.rebuild(lambda _: seen.append(rows_of(database, question)))
        assert len(seen) > 2
        assert seen == [before] * len(seen)

    def export() -> None:
        with open_exporter(fleet, database, offsets_a_step=500) as each:
            each.catch_up()

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop schema runfold cascade")
    several = [threading.Thread(target=export) for _ in range(2)]
    for each in several:
        each.start()
    for each in several:
        each.join()
    at_once = all_tables(database)
    with open_exporter(fleet, database) as exporter:
        assert exporter.catch_up().reason is None  # each row was counted once
        exporter.rebuild()
    assert at_once == all_tables(database)


_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from runfold.sinks.postgres import exporter, open_exporter
wrote = exporter.write_watermarks
left = int(sys.argv[3])
def killed(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    wrote(*arguments)
exporter.write_watermarks = killed
with open_exporter(Path(sys.argv[1]), sys.argv[2], offsets_a_step=800) as opened:
    opened.catch_up()
"""


def test_a_killed_export_is_gone_on_with_where_it_was(database: str, fleet: Path) -> None:
    for steps in (1, 2, 4):
        killed = subprocess.run(
            [sys.executable, "-c", _IS_KILLED, str(fleet), database, str(steps)], check=False
        )
        assert killed.returncode == -signal.SIGKILL
    with open_exporter(fleet, database) as exporter:
        exporter.catch_up()
        exported = all_tables(database)
        exporter.rebuild()
        assert exported == all_tables(database)


def test_the_command_says_what_it_did_and_what_is_missing(
    database: str, fleet: Path, tmp_path: Path
) -> None:
    where = ("--lake", str(fleet), "--data-dir", str(tmp_path))
    done = runfold("export", *where, "--format", "json", postgres=database)
    assert done.returncode == 0, done.stderr
    assert '"run_rows"' in done.stdout
    failed = runfold("export", *where)
    assert failed.returncode == 2
    assert "no PostgreSQL to export to" in failed.stderr


def test_a_check_says_whether_anybody_exports(database: str, fleet: Path) -> None:
    never = runfold("export", "--check", "--lake", str(fleet), postgres=database)
    assert never.returncode == 1
    assert "never" in never.stderr
    assert runfold("export", "--lake", str(fleet), postgres=database).returncode == 0
    assert runfold("export", "--check", "--lake", str(fleet), postgres=database).returncode == 0
    with connect(database) as connection:
        connection.execute(
            "update runfold.pipeline_health set checked_at = checked_at - interval '5 minutes'"
        )
    long_ago = runfold("export", "--check", "--lake", str(fleet), postgres=database)
    assert long_ago.returncode == 1


def test_what_is_wrong_with_postgres_is_said_and_no_password(database: str, fleet: Path) -> None:
    with pytest.raises(PostgresUnavailable, match="no answer from PostgreSQL at postgresql://a@"):
        connect("postgresql://a:secret@127.0.0.1:1/x")
    with pytest.raises(ConfigurationError, match="not an address of PostgreSQL"):
        connect("not an address")
    with pytest.raises(ConfigurationError, match="password") as refused:
        connect(database.replace("runfold:", "runfold:wrong"))
    assert "wrong" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="does not exist"):
        connect(database + "-nowhere")
    with open_exporter(fleet, database), psycopg.connect(database) as connection:
        connection.execute("update runfold.schema_versions set version = 999 where version = 1")
    with pytest.raises(ConfigurationError, match="made by a newer runfold"):
        open_exporter(fleet, database).__enter__()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop schema runfold cascade")
        connection.execute("create role onlooker login password 'x'")
    looking = psycopg.conninfo.make_conninfo(database, user="onlooker", password="x")
    with pytest.raises(PostgresRefused, match="the user needs CREATE on the database"):
        open_exporter(fleet, looking).__enter__()


def test_following_waits_for_postgres_and_for_the_lake(database: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "runfold.deploy",
            "export",
            "--follow",
            "--lake",
            str(tmp_path / "lake"),
        ],
        env=os.environ | {"RUNFOLD_POSTGRES": database},
        stderr=subprocess.PIPE,
    ) as following:
        try:
            assert following.stderr is not None
            # That there is no Kafka to ask for the lag may be said before.
            assert any(b"there is no lake" in line for line in following.stderr)
            lake = LakeOfEvents(tmp_path / "lake")
            lake.put(event("a", "run.started"), recorded_at_us=now_us())
            wait_until(lambda: _runs(database) == 1, "the first run is exported")
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'runfold export' and datname = current_database()"
                )
            lake.put(event("b", "run.started"), recorded_at_us=now_us())
            wait_until(lambda: _runs(database) == 2, "the second run is exported")
        finally:
            following.terminate()
        assert following.wait(30) == 0


def _runs(database: str) -> int:
    with psycopg.connect(database) as connection:
        if connection.execute("select to_regclass('runfold.runs')").fetchone() == (None,):
            return 0
        row = connection.execute("select count(*) from runfold.runs").fetchone()
    return int(row[0]) if row else 0
