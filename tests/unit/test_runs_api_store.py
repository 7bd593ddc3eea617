"""The read model of the runs API: what it makes of a log, however the log is cut."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runfold.processors.fold import fold
from runfold.producers.collector.runs_api.file import RunsFile
from runfold.producers.collector.runs_api.mapping import (
    KnownRun,
    change_events,
    commit_events,
    holds,
    new_events,
)
from runfold.producers.collector.runs_api.models import MadeCommit, NewRun
from runfold.producers.collector.runs_api.queries import RunFilter, RunQueries
from runfold.producers.collector.runs_api.rows import row_of
from runfold.producers.collector.runs_api.store import RunsStore
from runfold.producers.importers.local_telemetry.rows import run_of
from runfold.producers.importers.local_telemetry.run_events import run_events
from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.lake import LogDescription
from runfold.schemas.run_state import RunState
from tests.event_strategies import events
from tests.runs_api import CLIENT_END, client_start, minimal

LOG = LogDescription("topic-1", "runfold.events", 2)
Logged = tuple[int, LoggedEvent]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunsStore]:
    with RunsFile(tmp_path / "runs.sqlite") as file:
        store = RunsStore(file, fold)
        store.begin(LOG)
        yield store


def logged(fields: list[dict[str, Any]], first: int = 0, partition: int = 0) -> list[Logged]:
    """Return events as they lie in the log from offset `first` on."""
    return [
        (partition, LoggedEvent(Event(**each), first + n, 1_790_000_000_000_000 + first + n))
        for n, each in enumerate(fields)
    ]


def listed(store: RunsStore) -> list[dict[str, Any]]:
    found = RunQueries(store.file).many(RunFilter(), None, 1000, 0)
    answer: list[dict[str, Any]] = orjson.loads(orjson.dumps(found))
    return answer


def started(name: str, **changes: Any) -> list[dict[str, Any]]:
    return new_events(NewRun(**minimal(**changes)), name)


def test_a_record_becomes_the_events_that_an_import_of_it_gives() -> None:
    record: dict[str, Any] = {
        **client_start(),
        **CLIENT_END,
        "git_commit_hash": "1234567",
        "items_failed": 1,
    }
    record["git_commit_source"] = "llm"
    checked, name = NewRun(**record), record["run_id"]
    ours, imported = new_events(checked, name), list(run_events(run_of(checked.model_dump()), name))
    for each in (*ours, *imported):
        each["attributes"] = orjson.loads(each.get("attributes", "null"))
    assert ours == imported
    assert [each["event_type"] for each in ours] == [
        "run.started", "metric.recorded", "run.ended", "commit.associated",
    ]  # fmt: skip


@given(cut=st.lists(st.integers(0, 60), max_size=8), again=st.integers(0, 60))
@settings(max_examples=25)
def test_rows_are_the_same_however_the_log_is_cut_and_repeated(
    tmp_path_factory: pytest.TempPathFactory, cut: list[int], again: int
) -> None:
    log = logged([each for n in range(20) for each in started(f"run-{n % 7}", event_id=f"e{n}")])
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    with RunsFile(whole / "r.sqlite") as one, RunsFile(parts / "r.sqlite") as other:
        expected, found = RunsStore(one, fold), RunsStore(other, fold)
        expected.begin(LOG)
        expected.apply(LOG.topic_id, log, {0: len(log)})
        found.begin(LOG)
        edges = sorted({0, *(each for each in cut if each < len(log)), len(log)})
        for begin, end in pairwise(edges):
            found.apply(LOG.topic_id, log[begin:end], {0: end})
        repeated = log[min(again, len(log)) :]
        assert found.apply(LOG.topic_id, repeated, {0: len(log)}) is False
        assert listed(found) == listed(expected)
        assert len(listed(found)) == 7


def test_rows_and_offsets_are_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    with RunsFile(path) as file:
        store = RunsStore(file, fold)
        assert store.begin(LOG) == {0: 0, 1: 0}
        store.apply(LOG.topic_id, logged(started("r", event_id="e")), {0: 1})
        before = listed(store)
    with RunsFile(path) as file:
        store = RunsStore(file, fold)
        assert store.begin(LOG) == {0: 1, 1: 0}
        assert listed(store) == before
        run = store.known("e")
        assert run is not None
        ended = change_events(run, {"status": "success"})
        store.apply(LOG.topic_id, logged(ended, first=1), {0: 2})
        assert [each["status"] for each in listed(store)] == ["success"]


def test_a_topic_that_was_made_anew_is_begun_anew(store: RunsStore) -> None:
    store.apply(LOG.topic_id, logged(started("r")), {0: 1})
    assert store.begin(LogDescription("topic-2", LOG.topic, 3)) == {0: 0, 1: 0, 2: 0}
    assert listed(store) == []
    assert store.owners(["r"]) == {}


def test_what_fails_to_be_written_is_not_half_there(store: RunsStore) -> None:
    store.apply(LOG.topic_id, logged(started("r", event_id="e")), {0: 1})
    run = store.known("e")
    assert run is not None
    change = logged(change_events(run, {"status": "success"}), first=1)
    store.file._writer.execute(
        "create trigger full before insert on followed_partitions "
        "begin select raise(abort, 'full'); end"
    )
    with pytest.raises(sqlite3.Error):
        store.apply(LOG.topic_id, change, {0: 2})
    store.file._writer.execute("drop trigger full")
    assert [each["status"] for each in listed(store)] == ["running"]
    assert store.apply(LOG.topic_id, change, {0: 2}) is True
    assert [each["status"] for each in listed(store)] == ["success"]


def test_the_start_of_another_run_under_a_name_that_is_taken_changes_nothing(
    store: RunsStore,
) -> None:
    first = started("r", event_id="first")
    stray = started("r", event_id="second", host="box", status="failure")
    store.apply(LOG.topic_id, logged(first + stray), {0: 9})
    [row] = listed(store)
    assert (row["event_id"], row["host"], row["status"]) == ("first", None, "running")
    assert store.entries(["second"]) == {}


def test_of_two_runs_with_one_event_id_the_first_in_the_log_shows(tmp_path: Path) -> None:
    early = logged(started("b", event_id="e", agent_name="early"), first=3, partition=1)
    late = logged(started("a", event_id="e", agent_name="late"), first=50, partition=0)
    shown = []
    for n, order in enumerate(([early, late], [late, early])):
        with RunsFile(tmp_path / f"{n}.sqlite") as file:
            store = RunsStore(file, fold)
            store.begin(LOG)
            for each in order:
                store.apply(LOG.topic_id, each, {})
            shown.append(listed(store))
            assert store.entries(["e"])["e"].name == "b"
    assert shown[0] == shown[1]
    assert [each["agent_name"] for each in shown[0]] == ["early"]


def test_runs_of_other_clients_are_passed_over(store: RunsStore) -> None:
    native = {"event_id": "p-1", "run_id": "n", "event_type": "run.started", "occurred_at": 1}
    assert store.apply(LOG.topic_id, logged([{**native, "attributes": "[]"}, native]), {}) is False
    assert listed(store) == []


def test_a_project_sees_its_own_runs_alone(store: RunsStore) -> None:
    ours = [{**each, "project": "ours"} for each in started("a", event_id="a")]
    store.apply(LOG.topic_id, logged(ours + started("b", event_id="b")), {})
    queries = RunQueries(store.file)
    assert [each["event_id"] for each in queries.many(RunFilter(), "ours", 9, 0)] == ["a"]
    assert queries.one("b", "ours") is None
    assert queries.totals("ours")["total_runs"] == 1
    assert queries.names("theirs")["agent_names"] == []
    assert store.known("b", "ours") is None


def test_a_change_that_another_has_overtaken_does_not_hold(store: RunsStore) -> None:
    store.apply(LOG.topic_id, logged(started("r", event_id="e")), {})
    run = store.known("e")
    assert run is not None
    [ours] = change_events(run, {"output_summary": "ours", "items_failed": 2})
    [theirs] = change_events(run, {"output_summary": "theirs"})
    theirs["occurred_at"] = ours["occurred_at"] + 1
    store.apply(LOG.topic_id, logged([theirs, ours], first=1), {})
    latest = store.known("e")
    assert latest is not None
    assert not holds(ours, 2, latest.state)
    [again] = change_events(latest, {"output_summary": "ours", "items_failed": 2})
    assert again["event_id"] != ours["event_id"]
    store.apply(LOG.topic_id, logged([again], first=3), {})
    latest = store.known("e")
    assert latest is not None
    assert holds(again, 3, latest.state)
    assert [each["output_summary"] for each in listed(store)] == ["ours"]


def test_a_repeated_commit_is_another_event() -> None:
    state = RunState("r")
    commit = MadeCommit(commit_hash="1234567", commit_source="ci")
    [first] = commit_events(KnownRun("e", "r", state), commit, "now")
    state = fold(state, LoggedEvent(Event(**first), 5, 0))
    [second] = commit_events(KnownRun("e", "r", state), commit, "now")
    assert first["event_id"] != second["event_id"]


@given(st.lists(events(), max_size=12))
@settings(max_examples=60)
def test_whatever_a_run_says_fits_the_table(tmp_path_factory: Any, said: list[Event]) -> None:
    state = RunState("r")
    for offset, event in enumerate(said):
        state = fold(state, LoggedEvent(event, offset, 1_790_000_000_000_000))
    row = row_of("r", "e", state)
    with RunsFile(tmp_path_factory.mktemp("t") / "r.sqlite") as file, file.writing() as connection:
        connection.execute(
            f"insert into agent_runs ({', '.join(row)}) values ({', '.join('?' * len(row))})",
            list(row.values()),
        )


def test_a_file_that_another_process_has_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    with RunsFile(path) as first, RunsFile(path) as second:
        assert (first.path, second.path.name) == (path, "runs-2.sqlite")
    with RunsFile(path) as again:
        assert again.path == path


def test_a_damaged_file_or_one_of_another_version_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    path.write_bytes(b"no database at all" * 1000)
    with RunsFile(path) as file:
        file._writer.execute("pragma user_version = 99")
        file._writer.execute("create table theirs (x)")
    with RunsFile(path) as file:
        names = {name for (name,) in file.reader().execute("select name from sqlite_master")}
    assert "theirs" not in names
    assert {"agent_runs", "run_events", "commits", "followed_runs"} <= names
