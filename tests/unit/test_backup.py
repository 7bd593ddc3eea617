"""Backups of lakes: whole, incremental, verified, and restored to what they were."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runfold.deploy.cli.app import app
from runfold.schemas.errors import ConfigurationError, LakeCorrupt, LakeUnavailable
from runfold.schemas.lake import CompactionCounts
from runfold.sinks.backup import taking
from runfold.sinks.backup.choosing import choose_files, relative
from runfold.sinks.backup.erasures import bring_later_erasures
from runfold.sinks.backup.manifest import Manifest, backup_names, find_backup
from runfold.sinks.backup.restoring import end_restore, restore_lake
from runfold.sinks.backup.taking import Taken, keep_newest, take_backup, verify_backup
from runfold.sinks.compaction.compactor import Compactor
from runfold.sinks.erasure.record import erasures, new_erasure, note_done
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import Kind, list_whole_lake
from runfold.sinks.object_path import LakePath
from runfold.sinks.query import open_lake
from runfold.sinks.state_sets import StateSet, serve, write_set
from runfold.sinks.storage import at, write_file
from tests.audits import audited
from tests.buckets import S3Server
from tests.crashes import crash_at
from tests.lakes_of_events import LOG, LakeOfEvents, event

ROWS = 'select run_id, event_id, "offset" from events order by all'


@pytest.fixture(params=["disk", "bucket"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[LakePath, LakePath, LakePath]:
    """Give places for a lake, for its backups, and for what is restored."""
    if request.param == "disk":
        return tmp_path / "lake", tmp_path / "backups", tmp_path / "restored"
    server: S3Server = request.getfixturevalue("s3")
    return server.new_lake(), server.new_lake(), server.new_lake()


def filled(root: LakePath, flushes: int = 5) -> LakeOfEvents:
    """Return a lake of as many flushes of two events."""
    lake = LakeOfEvents(root)  # type: ignore[arg-type]
    for number in range(flushes):
        put(lake, number)
    return lake


def put(lake: LakeOfEvents, number: int) -> None:
    lake.put(
        event(f"run-{number % 3}", "run.started", number), event("other", "llm.called", number)
    )


def taken(root: LakePath, place: LakePath) -> Taken:
    return take_backup(root, place, [], not_in_lake=lambda _: None, on_file=lambda _, __: None)


def restored(place: LakePath, manifest: Manifest, root: LakePath) -> int:
    copied = restore_lake(place, manifest, root, on_file=lambda _, __: None)
    end_restore(root)
    return copied


def verified(place: LakePath, manifest: Manifest) -> list[str]:
    return verify_backup(place, manifest, lambda _, __: None)


def rows(root: LakePath) -> list[dict[str, object]]:
    with open_lake(root) as lake:
        return lake.rows(ROWS) + lake.rows("select * from lake_states order by run_id")


def test_what_is_restored_reads_as_what_was_backed_up(
    places: tuple[LakePath, LakePath, LakePath],
) -> None:
    root, place, other = places
    filled(root)
    backup = taken(root, place)
    assert verified(place, backup.manifest) == []
    assert restored(place, backup.manifest, other) == backup.manifest.size_bytes
    assert rows(other) == rows(root)
    assert LocalLake(other).resume(LOG).next_offset == LocalLake(root).resume(LOG).next_offset
    assert not [name for name in at(other).names() if name == "_restore.json"]


def test_the_next_backup_copies_only_what_is_new(
    places: tuple[LakePath, LakePath, LakePath],
) -> None:
    root, place, _ = places
    lake = filled(root)
    first = taken(root, place)
    assert first.new_files == len(first.manifest.files)
    assert taken(root, place).new_files == 0
    put(lake, 9)
    assert taken(root, place).new_files == 2  # of events and of states
    assert len(backup_names(place)) == 3


def test_a_backup_holds_the_files_that_are_read_and_notes_and_no_others(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    filled(root, 20)
    Compactor(root, timedelta(days=1)).compact(LOG)
    write_file(root / "objects" / "ab" / "abc", b"a document")
    write_file(
        root / LOG.topic_id / "set-aside" / "states" / "p00-000000000000-000000000001.parquet", b"x"
    )
    (root / LOG.topic_id / "events" / ".half.tmp").write_bytes(b"half")
    chosen = {relative(root, each) for each in choose_files(root)[0]}
    events = {each for each in chosen if each.startswith("a-topic/events")}
    assert len(events) < len(list_whole_lake(root, Kind.EVENTS)[0])
    assert {
        "objects/ab/abc",
        "a-topic/set-aside/states/p00-000000000000-000000000001.parquet",
    } < chosen
    assert not [
        each for each in chosen if "_schema" in each or "views.sql" in each or ".tmp" in each
    ]


def test_the_set_that_serves_is_restored_as_the_one_that_serves(tmp_path: Path) -> None:
    root, place, other = tmp_path / "lake", tmp_path / "backups", tmp_path / "other"
    filled(root)
    write_set(root, StateSet("again"))
    serve(root, "again")
    restored(place, taken(root, place).manifest, other)
    assert LocalLake(other).states.name == "again"


def test_a_file_that_is_merged_away_meanwhile_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, place = tmp_path / "lake", tmp_path / "backups"
    filled(root, 20)
    real, compacted = choose_files, list[CompactionCounts]()

    def choose_then_compact(root: LakePath) -> object:
        chosen = real(root)
        if not compacted:
            compacted.append(Compactor(root, timedelta(0)).compact(LOG))
        return chosen

    monkeypatch.setattr(taking, "choose_files", choose_then_compact)
    backup = taken(root, place)
    assert compacted[0].removed_files > 0
    restored(place, backup.manifest, tmp_path / "other")
    assert rows(tmp_path / "other") == rows(root)


def test_damage_is_found_named_and_never_restored(tmp_path: Path) -> None:
    root, place = tmp_path / "lake", tmp_path / "backups"
    filled(root)
    manifest = taken(root, place).manifest
    bad, gone = manifest.files[0], manifest.files[1]
    path = place / "contents" / bad.sha256[:2] / bad.sha256
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (place / "contents" / gone.sha256[:2] / gone.sha256).unlink()
    problems = verified(place, manifest)
    assert [bad.path in problems[0], gone.path in problems[1], len(problems)] == [True, True, 2]
    with pytest.raises(LakeCorrupt, match=bad.path):
        restored(place, find_backup(place, manifest.name), tmp_path / "other")
    # The next backup copies anew what is gone.
    assert taken(root, place).new_files == 1


def test_only_the_newest_are_kept_and_what_they_share(tmp_path: Path) -> None:
    root, place = tmp_path / "lake", tmp_path / "backups"
    lake = filled(root, 20)
    first = taken(root, place)
    Compactor(root, timedelta(0)).compact(LOG)
    put(lake, 1)
    second = taken(root, place)
    removed, removed_bytes = keep_newest(place, 1)
    assert removed == [first.manifest.name]
    assert removed_bytes == 0  # too young: another backup may be about to name them
    before = time.time() - 7200
    for path in (place / "contents").rglob("*"):
        os.utime(path, (before, before))
    assert keep_newest(place, 1)[1] > 0
    assert verified(place, second.manifest) == []
    with pytest.raises(ConfigurationError, match="no backup"):
        find_backup(place, first.manifest.name)


def test_a_backup_that_dies_anywhere_is_no_backup_and_the_next_one_is_whole(tmp_path: Path) -> None:
    root, place = tmp_path / "lake", tmp_path / "backups"
    filled(root)
    for step in range(1, 80, 9):
        with crash_at(step):
            taken(root, place)
        for name in backup_names(place):
            assert verified(place, find_backup(place, name)) == []
    assert backup_names(place)
    restored(place, taken(root, place).manifest, tmp_path / "other")
    assert rows(tmp_path / "other") == rows(root)


def test_a_restore_that_dies_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    root, place, other = tmp_path / "lake", tmp_path / "backups", tmp_path / "other"
    filled(root)
    manifest = taken(root, place).manifest
    newer = taken(root, place).manifest
    note = other / "_restore.json"
    for step in range(0, 200, 11):
        with crash_at(step):
            restored(place, manifest, other)
        if not note.exists() and other.exists() and step:
            break
        if note.exists():
            with pytest.raises(ConfigurationError, match=manifest.name):
                restored(place, newer, other)
    assert rows(other) == rows(root)
    assert audited(other).ok


def test_a_lake_is_never_restored_over_files_of_the_same_log(tmp_path: Path) -> None:
    root, place = tmp_path / "lake", tmp_path / "backups"
    filled(root)
    manifest = taken(root, place).manifest
    with pytest.raises(ConfigurationError, match="a-topic"):
        restored(place, manifest, root)
    other = tmp_path / "of another log"
    LakeOfEvents(other, log=type(LOG)("b-topic", 0)).put(event("new", "run.started"))
    restored(place, manifest, other)
    assert {row["run_id"] for row in rows(other)} == {"new", "other", "run-0", "run-1", "run-2"}


def test_a_file_of_the_lake_that_changes_its_bytes_is_told_from_one_that_does_not(
    tmp_path: Path,
) -> None:
    root, place = tmp_path / "lake", tmp_path / "backups"
    filled(root)
    taken(root, place)
    [file, *_] = list_whole_lake(root, Kind.STATES)[0]
    with lake_errors(file.path, "read"):
        content = at(file.path).read()
    write_file(file.path, content[:-1] + b"?")  # as many bytes, at another time
    assert taken(root, place).new_files == 1


def test_a_lake_is_replaced_only_where_it_is_one(tmp_path: Path) -> None:
    root, place = tmp_path / "lake", tmp_path / "backups"
    lake = filled(root)
    before = rows(root)
    taken(root, place)
    put(lake, 9)
    options = ["restore", str(place), "--replace", "--lake-only", "--data-dir", str(tmp_path)]
    runner = CliRunner()
    assert runner.invoke(app, options).exit_code == 0
    assert rows(root) == before
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("mine")
    done = runner.invoke(app, [*options, "--lake", str(tmp_path / "home")])
    assert isinstance(done.exception, LakeUnavailable)
    assert (tmp_path / "home" / "letter").exists()


def test_erasures_that_came_after_a_backup_are_noted_in_what_is_restored(
    places: tuple[LakePath, LakePath, LakePath],
) -> None:
    root, place, target = places
    filled(root)
    known, later, last = (new_erasure("session", f"run-{number}") for number in range(3))
    note_done(root, known)
    manifest = taken(root, place).manifest
    note_done(root, later.with_runs({"run-1"}))
    taken(root, place)
    restored(place, manifest, target)
    assert [each.id for each in erasures(target)] == [known.id]
    brought = bring_later_erasures(place, manifest, target, [known, last])
    assert brought == sorted([later.id, last.id])
    assert {each.id: len(each.runs) for each in erasures(target)} == {
        known.id: 0, later.id: 1, last.id: 0,
    }  # fmt: skip
    assert bring_later_erasures(place, find_backup(place), target, []) == []
