"""A subject is erased from a lake: nothing is left of it, all else is as it was."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from runfold.deploy.replays import Replay, plan_replay, run_replay
from runfold.deploy.settings import Settings
from runfold.producers.journal_contents import journal_mentions, mentioning
from runfold.producers.rejected import erase_rejected, keep_rejected
from runfold.sinks.compaction.compactor import Compactor
from runfold.sinks.erasure.finding import all_sessions, runs_of_subject, session_of
from runfold.sinks.erasure.record import (
    Erasure,
    erasures,
    find_erasure,
    is_erasing,
    new_erasure,
    note_begun,
    note_done,
)
from runfold.sinks.erasure.rewriting import erase_rows
from runfold.sinks.erasure.verifying import places_in_lake
from runfold.sinks.object_path import LakePath
from runfold.sinks.query import open_lake
from runfold.sinks.storage import at, write_file
from tests.audits import audited, log_of
from tests.buckets import S3Server
from tests.crashes import crash_at
from tests.lakes_of_events import LOG, NOON_US, LakeOfEvents, event

SHA = "ab" * 32
OTHER_SHA = "cd" * 32
RUNS = "select * exclude (silent_ms) from runs order by run_id"


@pytest.fixture(params=["disk", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> LakePath:
    """Give a place for a lake on each kind of storage."""
    if request.param == "disk":
        return tmp_path / "lake"
    server: S3Server = request.getfixturevalue("s3")
    return server.new_lake()


def filled(root: LakePath, flushes: int = 4) -> LakeOfEvents:
    """Return a lake of two sessions, one with a sub-run, a dead letter and documents."""
    lake = LakeOfEvents(root)  # type: ignore[arg-type]
    for number in range(flushes):
        put(lake, number)
    for digest in (SHA, OTHER_SHA):
        write_file(root / "objects" / digest[:2] / f"{digest}.json.zst", b"words")
    return lake


def put(lake: LakeOfEvents, number: int) -> None:
    at_us = NOON_US + number * 3_600_000_000
    shared = f'{{"sha256":"{OTHER_SHA}","other":"{SHA}"}}'
    lake.put(
        event("hers", "llm.called", number, session_id="s-1", host="h-1", attributes=shared),
        event("his", "llm.called", number, session_id="s-2", host="h-2",
              attributes=f'{{"sha256":"{OTHER_SHA}"}}'),
        event("below", "run.started", number, parent_run_id="hers"),
        recorded_at_us=at_us,
    )  # fmt: skip
    lake.put_records([(b"hers", b"no event"), (b"his", b"no event")], recorded_at_us=at_us)


def begun(root: LakePath, by: str = "session", subject: str = "s-1") -> Erasure:
    known = find_erasure(root, by, subject) or new_erasure(by, subject)
    erasure = replace(known.with_runs(runs_of_subject(root, by, subject)), done_at=None)
    note_begun(root, erasure)
    return erasure


def erased(root: LakePath) -> Erasure:
    erasure = begun(root)
    erase_rows(root, erasure, lambda _: None)
    return note_done(root, erasure)


def rows(root: LakePath, sql: str) -> list[dict[str, object]]:
    with open_lake(root) as lake:
        return lake.rows(sql)


def documents(root: LakePath) -> set[str]:
    return {path.name[:64] for _, files in at(root / "objects").walk() for path in files}


def test_all_of_the_subject_goes_and_all_else_stays(root: LakePath) -> None:
    filled(root)
    before = [row for row in rows(root, RUNS) if row["run_id"] == "his"]
    erasure = begun(root)
    removed = erase_rows(root, erasure, lambda _: None)
    assert removed == {"events": 12, "states": 8, "documents": 1}
    assert rows(root, RUNS) == before
    assert rows(root, "select distinct run_id from lake_rows") == [{"run_id": "his"}]
    assert documents(root) == {OTHER_SHA}
    assert places_in_lake(root, erasure) == []
    assert erase_rows(root, erasure, lambda _: None).total() == 0
    report = audited(root, log_of(0, 20))
    assert report.ok
    assert {each.kind for each in report.notes} == {"erased"}


def test_what_is_noted_names_nobody(root: LakePath) -> None:
    filled(root)
    done = erased(root)
    [path] = [path for _, files in at(root / "_erasures").walk() for path in files]
    assert not [word for word in (b"s-1", b"hers", b"below") if word in at(path).read()]
    assert find_erasure(root, "session", "s-1") == done == erasures(root)[0]
    assert find_erasure(root, "session", "s-2") is None
    assert find_erasure(root, "host", "s-1") is None


@pytest.mark.parametrize(("by", "subject"), [("host", "h-1"), ("session", "hers")])
def test_a_subject_is_a_host_or_a_run_too(tmp_path: Path, by: str, subject: str) -> None:
    filled(tmp_path)
    assert runs_of_subject(tmp_path, by, subject) == {"hers", "below"}
    assert runs_of_subject(tmp_path, "user", subject) == set()


def test_every_set_of_states_and_displaced_files_lose_it_too(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    filled(root, 20)
    settings = Settings(data_dir=tmp_path)
    wanted = Replay("again", from_lake=True)
    run_replay(settings, wanted, plan_replay(settings, wanted), on_records=lambda _: None)
    Compactor(root, timedelta(days=1)).compact(LOG)  # the merged files stay for a day
    erasure = begun(root)
    assert len(places_in_lake(root, erasure)) > 20
    erase_rows(root, erasure, lambda _: None)
    assert places_in_lake(root, erasure) == []
    Compactor(root, timedelta(0)).compact(LOG)
    assert places_in_lake(root, erasure) == []
    # A replay from the lake does not bring it back.
    wanted = Replay("later", from_lake=True)
    run_replay(settings, wanted, plan_replay(settings, wanted), on_records=lambda _: None)
    assert places_in_lake(root, erasure) == []


def test_nothing_is_merged_while_something_is_erased(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    erasure = begun(tmp_path)
    assert is_erasing(tmp_path)
    assert Compactor(tmp_path).compact(LOG).written_files == 0
    note_done(tmp_path, erasure)
    assert not is_erasing(tmp_path)
    assert Compactor(tmp_path).compact(LOG).written_files > 0


def test_merged_files_say_what_was_erased(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    erased(tmp_path)
    Compactor(tmp_path, timedelta(0)).compact(LOG)
    report = audited(tmp_path, log_of(0, 100))
    assert report.ok
    assert sum(each.facts["records"] for each in report.notes if each.kind == "erased") == 60


@pytest.mark.parametrize("step", range(0, 90, 9))
def test_it_may_die_anywhere_and_is_repeated(tmp_path: Path, step: int) -> None:
    filled(tmp_path)
    with crash_at(step):
        erased(tmp_path)
    done = erased(tmp_path)
    assert len(done.runs) == 2
    assert places_in_lake(tmp_path, done) == []
    assert not is_erasing(tmp_path)
    assert audited(tmp_path, log_of(0, 20)).ok


def test_what_comes_later_is_found_and_erased_by_repeating_it(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    done = erased(tmp_path)
    lake.put(event("hers", "run.ended", 99))  # a late journal; it does not name the session
    assert len(places_in_lake(tmp_path, done)) == 2
    erased(tmp_path)
    assert places_in_lake(tmp_path, done) == []


def test_a_session_that_came_back_is_known_by_its_hash(tmp_path: Path) -> None:
    lake = filled(tmp_path)
    done = erased(tmp_path)
    assert session_of(done, all_sessions(tmp_path)) is None
    lake.put(event("new run", "run.started", 99, session_id="s-1"))  # of a client that was offline
    assert session_of(done, all_sessions(tmp_path)) == "s-1"
    of_run = new_erasure("session", "new run")
    assert session_of(of_run, all_sessions(tmp_path)) == "new run"
    assert session_of(new_erasure("host", "s-1"), all_sessions(tmp_path)) is None


def test_journals_are_looked_through_for_runs_and_for_the_name(tmp_path: Path) -> None:
    erasure = new_erasure("session", "s-1").with_runs({"hers"})
    folder = tmp_path / "rf0"
    folder.mkdir()
    (folder / "00000001.ndjson").write_bytes(b'{"run_id":"his"}\n')
    assert journal_mentions(tmp_path, "s-1", erasure.chosen) == []
    (folder / "00000002.ndjson").write_bytes(b'{"run_id":"hers"}\n{"session_id":"s-1"}\n')
    keep_rejected(tmp_path, b'{"run_id":"hers","x":', reason="bad_body", message="torn")
    assert len(journal_mentions(tmp_path, "s-1", erasure.chosen)) == 2


def test_what_was_rejected_of_a_subject_is_erased_and_nothing_else(tmp_path: Path) -> None:
    erasure = new_erasure("session", "s-1").with_runs({"hers"})

    def erase() -> int:
        return erase_rejected(tmp_path, lambda lines: mentioning(lines, "s-1", erasure.chosen))

    assert erase() == 0
    lines = [b'{"run_id":"his"}', b'{"run_id":"hers"}', b'{"session_id":"s-1"', b"\xff no JSON"]
    for line in lines:
        keep_rejected(tmp_path, line, reason="bad_body", message=f"no event: {line!r}")
    keep_rejected(tmp_path, b"{}", reason="bad_item", message='session_id: "s-1" is too short')
    assert journal_mentions(tmp_path, "s-1", erasure.chosen) == [
        f"{tmp_path / 'rejected.ndjson'}: 3 lines"
    ]
    assert (erase(), erase()) == (3, 0)
    assert journal_mentions(tmp_path, "s-1", erasure.chosen) == []
    left = (tmp_path / "rejected.ndjson").read_bytes().splitlines()
    assert [orjson.loads(each)["line"] for each in left] == ['{"run_id":"his"}', "\\xff no JSON"]


def test_what_is_rejected_while_an_erasure_rewrites_the_file_is_kept(tmp_path: Path) -> None:
    keep_rejected(tmp_path, b'{"run_id":"hers"}', reason="bad_body", message="")
    late = threading.Thread(
        target=keep_rejected, args=(tmp_path, b"late"), kwargs={"reason": "r", "message": ""}
    )

    def are_meant(lines: list[bytes]) -> list[bool]:
        late.start()
        late.join(0.2)
        assert late.is_alive()  # it waits
        return [True for _ in lines]

    assert erase_rejected(tmp_path, are_meant) == 1
    late.join()
    [left] = (tmp_path / "rejected.ndjson").read_bytes().splitlines()
    assert orjson.loads(left)["line"] == "late"
