"""What the Local Telemetry client and its service have stored becomes events, once each."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runfold.processors.fold import fold
from runfold.producers.importers.local_telemetry import (
    EVENT_ID_PREFIX,
    LocalTelemetryImport,
    Start,
    find_sources,
)
from runfold.producers.local_telemetry_fields import name_beside
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.run_state import RunState
from tests.local_telemetry_data import event, run, started, write_database, write_lines

NDJSON = "events_20260102.ndjson"


class Imported:
    """One import, and what the fold makes of it."""

    def __init__(self, path: Path, **lookups: Any) -> None:
        reading = LocalTelemetryImport(find_sources(path), **lookups)
        encode = SparseEncoder(latest("event"))
        self.events = [each for each in reading.events() if encode(each)]
        self.report = reading.report
        self.bad = [str(each).removeprefix(f"{path}/") for each in self.report.bad_records]
        self.states: dict[str, RunState] = {}
        for offset, each in enumerate(self.events):
            logged = LoggedEvent(Event(**each), offset, 0)
            state = fold(self.states.get(each["run_id"]), logged)
            self.states[each["run_id"]] = state

    def stored(self, event_ids: Any) -> dict[str, str]:
        """Answer as a lake that holds this import."""
        held = {each["event_id"]: each["run_id"] for each in self.events}
        return {each: held[each] for each in event_ids if each in held}

    def starts(self, run_ids: Any) -> dict[str, Start]:
        """Answer as a lake that holds this import."""
        return {
            each["run_id"]: Start(each["event_id"], json.loads(each["attributes"])["event_id"])
            for each in self.events
            if each["event_type"] == "run.started" and each["run_id"] in run_ids
        }

    @property
    def lake(self) -> dict[str, Any]:
        """The lookups of a lake that holds this import."""
        return {"stored": self.stored, "starts": self.starts}


@pytest.mark.parametrize("library_shape", [False, True])
def test_a_database_of_either_shape_gives_its_runs(tmp_path: Path, library_shape: bool) -> None:
    ended = run(
        1, agent_owner="ann", product="words", metrics_json={"pages": 7, "note": "x"},
        error_summary="two were empty", status="partial", git_commit_hash="abcdef1",
        git_commit_source="llm", git_commit_author="Ann", host="h",
    )  # fmt: skip
    running = run(2, status="running", end_time=None, start_time="2026-01-02 03:04:05")
    write_database(tmp_path / "telemetry.sqlite", [ended, running], library_shape=library_shape)
    found = Imported(tmp_path)
    assert found.bad == []
    first, second = found.states[ended["run_id"]], found.states[running["run_id"]]
    assert (first.agent_name, first.agent_owner, first.host) == ("crawler", "ann", "h")
    assert (first.status, first.error_message) == ("partial", "two were empty")
    assert (first.started_at, first.ended_at) == (1_767_323_041_000_000, 1_767_323_101_500_000)
    assert first.items_succeeded == 1
    assert first.metrics["pages"].value == 7.0
    assert first.attributes["metrics_json"] == {"pages": 7, "note": "x"}
    assert (first.attributes["product"], first.attributes["event_id"]) == (
        "words",
        ended["event_id"],
    )
    assert (first.git_commit_hash, first.git_commit_source) == ("abcdef1", "llm")
    assert (second.status, second.ended_at) == ("running", None)
    assert second.started_at == 1_767_323_045_000_000
    report = found.report
    assert (report.runs, report.metrics, report.commits, report.records) == (2, 1, 1, 2)
    assert report.statuses == {"partial": 1}


def test_lines_of_a_start_and_an_end_are_one_run_with_its_events(tmp_path: Path) -> None:
    ended = run(1, metrics_json='{"pages": 2}', items_discovered=5)
    write_lines(
        tmp_path / "raw" / NDJSON,
        [
            started(ended),
            event(ended["run_id"], "checkpoint", "2026-01-02T03:04:30Z", {"step": 1, "ü": None}),
            event(ended["run_id"], "empty", "2026-01-02T03:04:31"),
            ended,
        ],
    )
    found = Imported(tmp_path)
    state = found.states[ended["run_id"]]
    assert (state.status, state.items_discovered, state.events) == ("success", 5, 5)
    checkpoint, empty = (each for each in found.events if each["event_type"] == "custom")
    assert (checkpoint["name"], json.loads(checkpoint["attributes"])["step"]) == ("checkpoint", 1)
    assert (empty["name"], "attributes" in empty) == ("empty", False)
    assert empty["occurred_at"] - checkpoint["occurred_at"] == 1_000_000
    assert (found.report.runs, found.report.log_events) == (1, 2)


def test_an_end_that_the_service_never_saw_is_in_the_buffer(tmp_path: Path) -> None:
    ended = run(1, items_discovered=9)
    write_lines(tmp_path / "buffer" / "telemetry_20260102_030400.jsonl.synced", [ended])
    row = {**started(ended), "items_discovered": 0}
    write_database(tmp_path / "db" / "telemetry.sqlite", [row])
    state = Imported(tmp_path).states[ended["run_id"]]
    assert (state.status, state.items_discovered) == ("success", 9)


def test_what_an_agent_says_of_its_end_counts_more_than_what_a_clean_up_made_of_it(
    tmp_path: Path,
) -> None:
    cleaned = run(1, status="cancelled", end_time="2026-01-02T09:00:00Z")
    write_database(tmp_path / "db" / "telemetry.sqlite", [cleaned])
    write_lines(tmp_path / "raw" / NDJSON, [started(run(1)), run(1)])
    [state] = Imported(tmp_path).states.values()
    assert (state.status, state.ended_at) == ("success", 1_767_323_101_500_000)


def test_numbers_that_only_python_writes_are_kept(tmp_path: Path) -> None:
    metrics = {"rate": float("nan"), "most": float("inf"), "pages": 7}
    write_lines(tmp_path / NDJSON, [run(1, metrics_json=metrics)])
    found = Imported(tmp_path)
    assert found.bad == []
    [state] = found.states.values()
    assert [*state.metrics] == ["pages"]
    assert state.attributes["metrics_json"] == {"rate": "nan", "most": "inf", "pages": 7}


def test_importing_again_adds_nothing_and_later_only_what_is_new(tmp_path: Path) -> None:
    ended = run(1, metrics_json={"pages": 7}, git_commit_hash="abcdef1", git_commit_source="ci")
    write_lines(tmp_path / NDJSON, [started(ended), event(ended["run_id"], "x", "2026-01-02")])
    first = Imported(tmp_path)
    assert first.report.events == len(first.events) == 3
    again = Imported(tmp_path, **first.lake)
    assert (again.events, again.report.known) == ([], 3)
    assert (again.report.runs, again.report.log_events) == (1, 1)
    write_database(tmp_path / "t.sqlite", [ended])
    later = Imported(tmp_path, **first.lake)
    assert [each["event_type"] for each in later.events] == ["metric.recorded", "run.ended"]


def test_a_copy_of_a_file_adds_nothing_and_like_events_in_one_file_stay_several(
    tmp_path: Path,
) -> None:
    like = event("r", "tick", "2026-01-02T03:04:05Z", {"n": 1})
    path = write_lines(tmp_path / NDJSON, [like, like, run(1)])
    alone = Imported(tmp_path)
    assert alone.report.log_events == 2
    shutil.copy(path, tmp_path / "events_20260102.copy.ndjson")
    assert Imported(tmp_path).events == alone.events


def nights(*days: int) -> list[dict[str, Any]]:
    """Return running runs of these days, which share their run id."""
    return [
        run(day, run_id="nightly", start_time=f"2026-01-0{day}T00:00:00Z", end_time=None,
            status="running", event_id=f"evt-2026-{day}")
        for day in days
    ]  # fmt: skip


def identities(imported: Imported) -> dict[str, str]:
    return {name: state.attributes["event_id"] for name, state in imported.states.items()}


def test_runs_that_share_a_run_id_stay_apart_and_the_first_keeps_it(tmp_path: Path) -> None:
    write_database(tmp_path / "t.sqlite", nights(3, 4))
    write_lines(tmp_path / NDJSON, [*nights(2), event("nightly", "tick", "2026-01-04T01:00:00Z")])
    found = Imported(tmp_path)
    assert len(found.states) == 3
    assert identities(found)["nightly"] == "evt-2026-2"
    [tick] = [each for each in found.events if each["event_type"] == "custom"]
    assert identities(found)[tick["run_id"]] == "evt-2026-4"


def test_an_earlier_run_does_not_take_the_name_of_one_that_was_imported(tmp_path: Path) -> None:
    write_database(tmp_path / "then" / "t.sqlite", nights(3, 4))
    then = Imported(tmp_path)
    write_lines(tmp_path / "now" / NDJSON, nights(2))
    for folder in (tmp_path / "now", tmp_path):
        now = Imported(folder, **then.lake)
        [(name, identity)] = identities(now).items()
        assert identity == "evt-2026-2"
        assert name not in then.states


def test_runs_that_the_client_has_recorded_itself_are_passed_over(tmp_path: Path) -> None:
    mine, other = nights(3, 4)
    beside = name_beside("nightly", "evt-2026-4")

    def starts(run_ids: Any) -> dict[str, Start]:
        held = {"nightly": Start("rf01.1-1", "evt-2026-3"), beside: Start("rf01.2-1", "evt-2026-4")}
        return {name: held[name] for name in run_ids if name in held}

    tick = event("nightly", "tick", "2026-01-03T01:00:00Z")
    of_nobody = event("elsewhere", "tick", "2026-01-03T01:00:00Z")
    write_lines(tmp_path / NDJSON, [mine, tick, other, *nights(2), of_nobody])
    found = Imported(tmp_path, starts=starts)
    assert found.report.recorded == 3
    assert set(found.states) == {name_beside("nightly", "evt-2026-2"), "elsewhere"}


@pytest.mark.parametrize(
    ("said", "status", "ended"),
    [
        ({"status": " FAILED "}, "failure", True),
        ({"status": "canceled"}, "cancelled", True),
        ({"status": "exploded"}, "failure", True),
        ({"status": "exploded", "end_time": None}, "running", False),
        ({"status": None}, "failure", True),
        ({"status": "running"}, "running", False),
        ({"status": "success", "end_time": "soon"}, "success", True),
    ],
)
def test_statuses_have_one_spelling(
    tmp_path: Path, said: dict[str, Any], status: str, ended: bool
) -> None:
    write_lines(tmp_path / NDJSON, [run(1, **said)])
    [state] = Imported(tmp_path).states.values()
    assert (state.status, state.ended_at is not None) == (status, ended)
    if said["status"] == "exploded" and ended:
        assert state.attributes["reported_status"] == "exploded"
    if said.get("end_time") == "soon":
        assert state.attributes["reported_end_time"] == "soon"
        assert state.ended_at == 1_767_323_041_000_000 + 60_500_000


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("{torn", "not JSON"),
        ('["a list"]', "not a JSON object but an array"),
        ({"unknown": 1}, "neither a run nor an event"),
        (run(1, run_id=None), "run_id is missing"),
        (run(1, run_id=17), "run_id is 17, not a text"),
        (run(1, event_id=17), "event_id is 17, not a text"),
        (run(1, start_time="yesterday"), "start_time is 'yesterday', not a time"),
        (run(1, start_time="1999-01-01"), "start_time '1999-01-01' is outside the years"),
        (run(1, start_time=None), "created_at is missing"),
        (event("r", "x", "never"), "timestamp is 'never', not a time"),
        (event("", "x", "2026-01-02"), "run_id is missing"),
        (event("r", "", "2026-01-02"), "event_type is missing"),
    ],
)
def test_a_bad_record_is_named_and_its_neighbours_are_kept(
    tmp_path: Path, record: Any, reason: str
) -> None:
    write_lines(tmp_path / NDJSON, [run(2), record, "", run(3)])
    found = Imported(tmp_path)
    assert len(found.states) == 2
    [bad] = found.bad
    assert bad.startswith(f"{NDJSON}:2: ")
    assert reason in bad


def test_a_bad_row_is_named_by_its_table(tmp_path: Path) -> None:
    write_database(tmp_path / "t.sqlite", [run(1, start_time="?"), run(2)])
    found = Imported(tmp_path)
    assert found.bad == ["t.sqlite:agent_runs row 1: start_time is '?', not a time"]
    assert len(found.states) == 1


def test_the_tables_of_events_and_commits_are_read_too(tmp_path: Path) -> None:
    path = write_database(tmp_path / "t.sqlite", [run(1)])
    run_id = run(1)["run_id"]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO run_events (run_id, event_type, timestamp, payload_json) "
            "VALUES (?, 'checkpoint', '2026-01-02 03:04:05', '{\"a\": 1}')", (run_id,),
        )  # fmt: skip
        connection.execute(
            "INSERT INTO commits (commit_hash, run_id, repo, author, commit_date, insertions) "
            "VALUES ('abcdef1', ?, 'crawler', 'Ann', '2026-01-02T04:00:00Z', 12)", (run_id,),
        )  # fmt: skip
    found = Imported(tmp_path)
    state = found.states[run_id]
    assert (state.git_commit_hash, state.git_repo) == ("abcdef1", "crawler")
    assert state.git_commit_author == "Ann"
    assert state.attributes["insertions"] == 12
    assert (found.report.log_events, found.report.commits) == (1, 1)


def test_a_damaged_database_is_named_and_the_files_beside_it_are_read(tmp_path: Path) -> None:
    path = write_database(tmp_path / "t.sqlite", [run(n) for n in range(59)])
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    (tmp_path / "empty.db").write_bytes(b"")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE something (else_ TEXT)")
    write_lines(tmp_path / NDJSON, [run(1)])
    found = Imported(tmp_path)
    assert len(found.states) == 1
    other, *damaged = sorted(found.bad)
    assert other.startswith("other.db:database: no table agent_runs")
    assert all(each.startswith("t.sqlite:database: ") for each in damaged)
    assert any("malformed" in each for each in damaged)


def test_a_database_with_a_write_ahead_log_is_read_while_it_is_written_and_at_rest(
    tmp_path: Path,
) -> None:
    path = write_database(tmp_path / "t.sqlite", [run(1)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("UPDATE agent_runs SET agent_name = 'renamed'")
        [state] = Imported(tmp_path).states.values()
        assert state.agent_name == "renamed"
    assert [each.name for each in tmp_path.iterdir()] == ["t.sqlite"]
    [state] = Imported(tmp_path).states.values()
    assert state.agent_name == "renamed"
    assert [each.name for each in tmp_path.iterdir()] == ["t.sqlite"]


def test_a_database_from_before_event_ids_is_read(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "v2.sqlite")) as connection, connection:
        connection.execute(
            "CREATE TABLE agent_runs (run_id TEXT PRIMARY KEY, agent_name TEXT, start_time TEXT, "
            "end_time TEXT, status TEXT)"
        )
        row = ("r", "crawler", "2026-01-02T03:04:05Z", "2026-01-02T03:05:05Z", "failed")
        connection.execute("INSERT INTO agent_runs VALUES (?, ?, ?, ?, ?)", row)
    first = Imported(tmp_path)
    assert (first.states["r"].status, first.states["r"].agent_name) == ("failure", "crawler")
    assert Imported(tmp_path, stored=first.stored).events == []


def test_many_rows_are_read_in_parts(tmp_path: Path) -> None:
    rows = [run(n % 60, run_id=f"r{n}", event_id=f"e{n}") for n in range(5_001)]
    write_database(tmp_path / "t.sqlite", rows)
    read: list[int] = []
    found = Imported(tmp_path, on_bytes=read.append)
    assert found.report.runs == 5_001
    assert sum(read) == (tmp_path / "t.sqlite").stat().st_size


def test_what_is_not_there_is_a_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        find_sources(tmp_path / "no")
    assert find_sources(tmp_path) == []


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4),
    st.just("\ud800"), st.just("x" * 70_000), st.just({"a": [1, None]}), st.just([]),
    st.just("2026-01-02"), st.just('{"a": 1e999}'), st.integers(10**30, 10**31),
)  # fmt: skip
_DAMAGE = st.dictionaries(st.sampled_from(sorted(run(1))), _VALUES, max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(_DAMAGE, min_size=1, max_size=5))
def test_no_value_in_any_field_stops_an_import(damages: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        lines = [run(n, **each) for n, each in enumerate(damages)]
        write_lines(Path(folder) / NDJSON, [*lines, run(59, run_id="kept")])
        found = Imported(Path(folder))
        assert "kept" in found.states
        ids = [each["event_id"] for each in found.events]
        assert len(ids) == len(set(ids))
        assert all(each.startswith(EVENT_ID_PREFIX) for each in ids)
        assert Imported(Path(folder)).events == found.events


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "RUNFOLD" not in name}
    return subprocess.run(
        [sys.executable, "-m", "runfold.deploy", "import", "local-telemetry", *arguments,
         "--broker", "127.0.0.1:1"],
        env={**environment, "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_lines(tmp_path / "data" / NDJSON, [run(1), "{torn"])
    return tmp_path / "data"


def test_the_command_counts_and_names_what_is_malformed(data: Path, tmp_path: Path) -> None:
    done = command(str(data), "--dry-run", "--format", "json", home=tmp_path)
    assert done.returncode == 0
    counts = json.loads(done.stdout)
    assert (counts["runs"], counts["events_to_publish"], counts["ended"]) == (1, 2, {"success": 1})
    [malformed] = counts["malformed_records"]
    assert (malformed["place"], malformed["file"]) == ("2", str(data / NDJSON))
    assert f"{data / NDJSON}:2: not JSON" in done.stderr
    assert "1 malformed records were left out" in done.stderr


def test_the_command_exits_as_it_should(data: Path, tmp_path: Path) -> None:
    assert command(str(data), "--dry-run", "--strict", home=tmp_path).returncode == 1
    assert command(str(data), home=tmp_path).returncode == 1
    missing = command(str(tmp_path / "no"), home=tmp_path)
    assert missing.returncode == 2
    assert "no such file or folder" in missing.stderr
