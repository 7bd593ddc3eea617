"""Events are removed by age, and nobody takes them for lost."""

from __future__ import annotations

import os
import time
from datetime import date, timedelta
from pathlib import Path

import orjson
import pytest

from runfold.deploy.replays import Replay, plan_replay, promote, run_replay
from runfold.deploy.settings import Settings
from runfold.processors.catching_up import catch_up
from runfold.processors.run_table import RunTable
from runfold.schemas.errors import EventsExpired
from runfold.schemas.vocabulary import DROPPED_EVENT
from runfold.sinks.audit.run_record import run_record
from runfold.sinks.compaction.compactor import Compactor
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import Kind, list_files
from runfold.sinks.object_path import LakePath
from runfold.sinks.query import open_lake
from runfold.sinks.retention.expiring import expire
from runfold.sinks.retention.plan import events_begin, plan_expiry
from runfold.sinks.state_diff import diff_states
from tests.audits import audited, kinds, log_of
from tests.buckets import S3Server
from tests.crashes import crash_at
from tests.lakes_of_events import LOG, NOON_US, LakeOfEvents, encoded, event

DAY_US = 86_400_000_000
FIRST_DAY = date(2025, 11, 13)
NO_GRACE = timedelta(0)


@pytest.fixture(params=["disk", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> LakePath:
    """Give a place for a lake on each kind of storage."""
    if request.param == "disk":
        return tmp_path / "lake"
    server: S3Server = request.getfixturevalue("s3")
    return server.new_lake()


def filled(root: LakePath, days: int = 4) -> LakeOfEvents:
    """Return a lake of some days: a run for each, one over all, a dead letter, a declared drop."""
    lake = LakeOfEvents(root)  # type: ignore[arg-type]
    for day in range(days):
        put_day(lake, day)
    return lake


def put_day(lake: LakeOfEvents, day: int) -> None:
    at = NOON_US + day * DAY_US
    dropped = {"producer": "rf0123456789abcdef0123.1", "ranges": [[3 * day + 3, 3 * day + 3]]}
    lake.put(
        event(f"of-day-{day}", "run.started", agent_name="a"),
        event(f"of-day-{day}", "run.ended", status="success"),
        event(
            "long", "llm.called", event_id=f"rf0123456789abcdef0123.1-{3 * day + 1}", cost_usd=0.5
        ),
        recorded_at_us=at,
    )
    bad = event("long", "log.written", event_id=f"rf0123456789abcdef0123.1-{3 * day + 2}")
    declaration = event(
        "long", "custom", name=DROPPED_EVENT, attributes=orjson.dumps(dropped).decode(), at=day
    )
    lake.put_records(
        [(b"long", encoded(bad)[:-1]), (b"long", encoded(declaration))], recorded_at_us=at + 1
    )


def expired(root: LakePath, days: int, grace: timedelta = NO_GRACE) -> int:
    """Remove the first days; return how many partitions that concerned."""
    plans, hindrances = plan_expiry(root, FIRST_DAY + timedelta(days=days))
    assert not hindrances
    expire(root, plans, grace, on_log=lambda _: None)
    return len(plans)


def rows(root: LakePath, sql: str) -> list[dict[str, object]]:
    with open_lake(root) as lake:
        return lake.rows(sql)


RUNS = "select * exclude (silent_ms) from runs order by run_id"
STORED = "select \"offset\" from events where event_type <> 'custom' order by 1"


def test_whole_days_go_and_states_stay(root: LakePath) -> None:
    filled(root)
    before = rows(root, RUNS)
    assert expired(root, 2) == 1
    assert [row["offset"] for row in rows(root, STORED)] == [10, 11, 12, 15, 16, 17]
    assert rows(root, RUNS) == before
    assert events_begin(root, LOG) == 10
    assert expired(root, 2) == 0  # nothing more to do
    assert expired(root, 3) == 1
    assert len(list_files(root, LOG, Kind.EVENTS)) == 3  # one instead of those of three days
    assert rows(root, RUNS) == before


def test_the_audit_counts_what_was_removed_and_finds_nothing(root: LakePath) -> None:
    filled(root)
    whole = audited(root).ledger
    for days in (1, 3):
        expired(root, days)
        report = audited(root, log_of(0, 20))
        assert kinds(report) == []
        assert [each.kind for each in report.notes] == ["expired"]
        assert report.ledger["dead_letters"] == whole["dead_letters"] == 4
        assert report.ledger["declared_dropped"] == whole["declared_dropped"] == 4
        assert report.ledger["expired"] == days  # of the run that goes on
        assert report.ledger["emitted"] == whole["emitted"]


def test_what_is_missing_stays_missing_and_a_damaged_state_is_still_found(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    lake.put(
        event("long", "llm.called", event_id="rf0123456789abcdef0123.1-14"),
        recorded_at_us=NOON_US + 4 * DAY_US,
    )
    expired(tmp_path, 2)
    report = audited(tmp_path)
    assert kinds(report) == ["missing_events"]
    assert report.findings[0].facts["ranges"] == [[13, 13]]
    with open_lake(tmp_path) as queries:
        record = run_record(queries, "long", (FIRST_DAY, FIRST_DAY + timedelta(days=5)))
    assert (record.missing, record.dead_letters, record.declared_dropped) == (9, 4, 4)
    assert record.expired == 2


def test_files_stay_for_queries_until_the_grace_is_over_and_nobody_reads_them(
    tmp_path: Path,
) -> None:
    filled(tmp_path)
    files = len(list_files(tmp_path, LOG, Kind.EVENTS))
    expired(tmp_path, 2, timedelta(minutes=15))
    assert len(list_files(tmp_path, LOG, Kind.EVENTS)) == files + 1
    assert len(rows(tmp_path, STORED)) == 6
    Compactor(tmp_path).compact(LOG)
    assert len(rows(tmp_path, STORED)) == 6
    long_ago = time.time() - 3600
    for path in tmp_path.rglob("*.parquet"):
        os.utime(path, (long_ago, long_ago))
    Compactor(tmp_path).compact(LOG)
    assert not list(tmp_path.rglob("date=2025-11-13/*/*.parquet"))
    assert audited(tmp_path, log_of(0, 20)).ok


def test_a_merge_of_the_same_days_that_comes_late_changes_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    plans, _ = plan_expiry(tmp_path, FIRST_DAY + timedelta(days=1))
    Compactor(tmp_path, NO_GRACE).compact(LOG)  # now one file holds the same offsets
    assert len(list_files(tmp_path, LOG, Kind.EVENTS)) == 4 + 1
    [plan] = plan_expiry(tmp_path, FIRST_DAY + timedelta(days=1))[0]
    assert plan.range == plans[0].range
    expire(tmp_path, [plan], timedelta(days=1), on_log=lambda _: None)
    assert len(rows(tmp_path, STORED)) == 9
    Compactor(tmp_path, NO_GRACE).compact(LOG)
    assert len(rows(tmp_path, STORED)) == 9
    assert audited(tmp_path, log_of(0, 20)).ok


def test_a_hole_stays_a_hole(tmp_path: Path) -> None:
    filled(tmp_path)
    second = sorted(list_files(tmp_path, LOG, Kind.EVENTS), key=lambda each: each.range.first)[1]
    second.path.unlink()  # type: ignore[union-attr]
    plans, hindrances = plan_expiry(tmp_path, FIRST_DAY + timedelta(days=3))
    assert [str(plan.range) for plan in plans] == ["0-2"]
    assert ["offsets 3-4" in each.says for each in hindrances] == [True]
    expire(tmp_path, plans, NO_GRACE, on_log=lambda _: None)
    assert "hole" in kinds(audited(tmp_path))


def test_events_that_no_state_has_counted_stay(tmp_path: Path) -> None:
    filled(tmp_path)
    for each in list_files(tmp_path, LOG, Kind.STATES):
        if each.range.first >= 5:
            each.path.unlink()  # type: ignore[union-attr]
    plans, hindrances = plan_expiry(tmp_path, FIRST_DAY + timedelta(days=3))
    assert [str(plan.range) for plan in plans] == ["0-4"]
    assert [each.says for each in hindrances] == ["states reach only to offset 5"]


def test_states_are_never_made_of_events_that_are_gone(tmp_path: Path) -> None:
    filled(tmp_path)
    expired(tmp_path, 2)
    list_files(tmp_path, LOG, Kind.STATES)[0].path.unlink()  # type: ignore[union-attr]
    lake = LocalLake(tmp_path)
    point = lake.resume(LOG)
    with pytest.raises(EventsExpired, match="offsets 0-9"):
        catch_up(RunTable(LOG, point.next_offset or 0), lake, point.events_end or 0)


@pytest.mark.parametrize("step", range(0, 30, 5))
def test_it_may_die_anywhere_and_is_repeated(tmp_path: Path, step: int) -> None:
    filled(tmp_path)
    before = rows(tmp_path, RUNS)
    with crash_at(step):
        expired(tmp_path, 2)
    assert audited(tmp_path, log_of(0, 20)).ok
    expired(tmp_path, 2)
    assert len(rows(tmp_path, STORED)) == 6
    assert rows(tmp_path, RUNS) == before
    assert not list(tmp_path.rglob("date=2025-11-13/*/*.parquet"))


def test_a_replay_from_the_lake_keeps_the_states_of_runs_whose_events_are_gone(
    tmp_path: Path,
) -> None:
    lake = filled(tmp_path / "lake")
    expired(tmp_path / "lake", 2)
    settings = Settings(data_dir=tmp_path)
    wanted = Replay("again", from_lake=True)
    run_replay(settings, wanted, plan_replay(settings, wanted), on_records=lambda _: None)
    assert diff_states(tmp_path / "lake", "original", "again", most_runs=5).is_same
    put_day(lake, 4)
    promote(settings, "again", on_records=lambda _: None)
    assert diff_states(tmp_path / "lake", "original", "again", most_runs=5).is_same
    assert audited(tmp_path / "lake", log_of(0, 25)).ok
    assert LocalLake(tmp_path / "lake").resume(LOG).next_offset == 25


def test_set_aside_files_of_those_days_go_as_well(tmp_path: Path) -> None:
    filled(tmp_path)
    damaged = tmp_path / LOG.topic_id / "set-aside/events/date=2025-11-13/hour=12"
    damaged.mkdir(parents=True)
    (damaged / "p00-000000000000-000000000003.parquet").write_bytes(b"damaged")
    expired(tmp_path, 2)
    assert not list(damaged.glob("*"))
