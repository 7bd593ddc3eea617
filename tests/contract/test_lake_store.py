"""The contract of `LakeStore`: whatever workers write, in whatever order, wherever they die."""

from __future__ import annotations

import errno
import io
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runfold.schemas.codec.arrow import lake_event_schema
from runfold.schemas.errors import LakeCorrupt, LakeUnavailable, QueryFailed
from runfold.schemas.lake import Flush, FlushCounts, LakeStore
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.run_state import RunState
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import list_set_aside
from runfold.sinks.object_path import LakePath
from runfold.sinks.parquet_reading import parquet_file
from runfold.sinks.query import open_lake
from runfold.sinks.storage import at
from tests.buckets import S3Server
from tests.crashes import crash_at
from tests.lake_logs import (
    FIRST_MS,
    HOUR_MS,
    Log,
    Worker,
    as_written,
    logs,
    rows_of,
    stored_states,
    true_rows,
    true_states,
)

PLACE = LogPartition("a-topic", 3)
MakeLake = Callable[[LakePath], LakeStore]


@pytest.fixture(params=["disk", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> LakePath:
    """Give a place for a lake on each kind of storage."""
    if request.param == "disk":
        return tmp_path
    server: S3Server = request.getfixturevalue("s3")
    return server.new_lake()


@pytest.fixture
def lake(root: LakePath) -> LakeStore:
    """Give an empty lake in `root`."""
    return LocalLake(root)


@pytest.fixture
def on_disk(tmp_path: Path) -> LakeStore:
    """Give an empty lake in `tmp_path`."""
    return LocalLake(tmp_path)


def flush(first: int, last: int, *, at_ms: int = FIRST_MS, rows: int | None = None) -> Flush:
    """Return what a worker derived from `first` to `last`: one run, one event at each offset."""
    count = last - first + 1 if rows is None else rows
    columns: dict[str, list[Any]] = {
        "event_id": [f"e-{first + i}" for i in range(count)],
        "run_id": ["run-1"] * count,
        "event_type": ["custom"] * count,
        "occurred_at": [at_ms * 1000] * count,
        "partition": [PLACE.partition] * count,
        "offset": list(range(first, first + count)),
        "recorded_at": [at_ms * 1000] * count,
    }
    schema = pl.DataFrame(lake_event_schema().empty_table()).schema
    events = pl.DataFrame(
        {name: columns.get(name, [None] * count) for name in schema}, schema=schema
    )
    states = [RunState("run-1", last_offset=last, last_recorded_at=at_ms * 1000)] if count else []
    counts = FlushCounts(count, count, 0, 0)
    return Flush(PLACE, OffsetRange(first, last), events, states, counts, at_ms * 1000)


def files(root: LakePath, kind: str) -> list[LakePath]:
    found = [each for _, files in at(root / PLACE.topic_id / kind).walk() for each in files]
    return sorted((each for each in found if each.name.endswith(".parquet")), key=str)


def event_rows(root: LakePath) -> list[dict[str, Any]]:
    with open_lake(root) as queries:
        return queries.rows('select * from lake_rows order by "offset"')


def lake_that_vacuums_at_once(root: LakePath) -> LakeStore:
    return LocalLake(root, grace=timedelta(0))


Step = tuple[int, str, int, int]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # which worker
        st.sampled_from(["write", "write", "write", "write again", "restart", "compact"]),
        st.integers(1, 6),  # records
        st.one_of(st.just(999), st.just(999), st.integers(0, 24)),  # where it dies
    ),
    max_size=16,
)


def play(lake: LakeStore, log: Log, steps: list[Step]) -> int:
    """Let workers do `steps`; return the offset up to which one of them was told all is durable."""
    workers = {who: Worker(lake, log) for who in range(3)}
    durable = log.start
    for who, what, records, dies_at in steps:
        if what == "restart" or who not in workers:
            workers[who] = Worker(lake, log)
        worker = workers.pop(who)
        if what == "compact":
            dies_at *= 9  # it takes more steps than a flush
        with crash_at(dies_at):
            if what == "compact":
                lake.compact(log.place)
                workers[who] = worker
                continue
            written = worker.write(records)
            if written is not None:
                durable = max(durable, written.range.next_offset)
                if what == "write again":
                    lake.write(written)
            workers[who] = worker
    return durable


@settings(max_examples=35, deadline=None)  # of each of the two
@given(log=logs(), steps=STEPS)
@pytest.mark.parametrize("make", [LocalLake, lake_that_vacuums_at_once])
def test_whatever_workers_write_and_wherever_they_die_the_lake_gives_what_one_clean_pass_gives(
    make: MakeLake, log: Log, steps: list[Step]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_what_workers_leave(make, Path(folder), log, steps)


@settings(max_examples=5, deadline=None)
@given(log=logs(), steps=STEPS)
def test_wherever_workers_die_a_lake_in_a_bucket_gives_what_one_clean_pass_gives(
    s3: S3Server, log: Log, steps: list[Step]
) -> None:
    check_what_workers_leave(lake_that_vacuums_at_once, s3.new_lake(), log, steps)


def check_what_workers_leave(make: MakeLake, root: LakePath, log: Log, steps: list[Step]) -> None:
    durable = play(make(root), log, steps)
    lake = make(root)
    point = lake.resume(log.place)
    reached = log.start if point.next_offset is None else point.next_offset
    assert reached >= durable
    states = true_states(log.folded_to(reached))
    found = stored_states(lake, log.place, point, states)
    assert as_written(found) == as_written(states)
    with open_lake(root) as queries:
        rows = queries.rows('select * from lake_rows order by "offset"')
        runs = queries.rows("select run_id, events, last_offset from runs")
    known = {offset for offset in true_rows(log.folded_to(reached)) if offset < reached}
    assert {row["offset"] for row in rows if row["offset"] < reached} == known
    assert len({row["offset"] for row in rows}) == len(rows)
    true = true_rows(log.folded_to(log.offsets[-1] + 1))
    for row in rows:
        assert plain({name: row[name] for name in true[row["offset"]]}) == plain(
            true[row["offset"]]
        )
        assert (row["date"], row["hour"]) == (row["recorded_at"].date(), row["recorded_at"].hour)
    newest = {state.run_id: (state.events, state.last_offset) for state in states}
    for row in runs:
        shown = (row["events"], row["last_offset"])
        assert shown >= newest.pop(row["run_id"], (0, -1))
    assert not newest


def plain(row: dict[str, Any]) -> dict[str, str]:
    """Return a row so that it can be compared: nan equals nan, and UTC is UTC."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else repr(value)
        for name, value in row.items()
    }


def test_an_empty_lake_says_that_it_holds_nothing(lake: LakeStore) -> None:
    point = lake.resume(PLACE)
    assert (point.first_offset, point.next_offset, len(point.runs)) == (None, None, 0)


def test_partitions_and_topics_are_apart(lake: LakeStore) -> None:
    lake.write(flush(0, 4))
    assert lake.resume(LogPartition(PLACE.topic_id, 4)).next_offset is None
    assert lake.resume(LogPartition("another-topic", 3)).next_offset is None
    assert lake.resume(PLACE).next_offset == 5


def test_a_range_that_left_no_event_counts_as_covered(lake: LakeStore, root: LakePath) -> None:
    lake.write(flush(0, 4))
    lake.write(flush(5, 9, rows=0))
    assert lake.resume(PLACE).next_offset == 10
    assert lake.resume(PLACE).runs.find(["run-1"]) == {"run-1": 4}
    assert len(event_rows(root)) == 5


def test_files_are_cut_at_the_hour_that_the_log_took_their_records(
    lake: LakeStore, root: LakePath
) -> None:
    one, other = flush(10, 11), flush(13, 14, at_ms=FIRST_MS + HOUR_MS)
    both = pl.concat([rows_of(one), rows_of(other)])
    lake.write(
        Flush(PLACE, OffsetRange(8, 19), both, one.states, FlushCounts(4, 4, 0, 0), 0),
    )
    assert [f"{path.parent.parent.name} {path.parent.name} {path.name}" for path in
            files(root, "events")] == [
        "date=2025-11-13 hour=02 p03-000000000008-000000000012.parquet",
        "date=2025-11-13 hour=03 p03-000000000013-000000000019.parquet",
    ]  # fmt: skip
    assert [path.name for path in files(root, "states")] == [
        "p03-000000000008-000000000019.parquet"
    ]


def test_a_log_whose_clock_goes_back_is_not_cut_into_a_file_for_each_record(
    lake: LakeStore, root: LakePath
) -> None:
    pieces = [rows_of(flush(i, i, at_ms=FIRST_MS + HOUR_MS * (i % 2))) for i in range(20)]
    counts = FlushCounts(20, 20, 0, 0)
    lake.write(Flush(PLACE, OffsetRange(0, 19), pl.concat(pieces), [], counts, 0))
    assert len(files(root, "events")) == 2
    assert len(event_rows(root)) == 20


@pytest.mark.parametrize("at_ms", [-1, -(2**53), 2**53, 253_402_300_800_000])
def test_a_clock_that_no_calendar_knows_still_gets_a_folder(
    lake: LakeStore, root: LakePath, at_ms: int
) -> None:
    lake.write(flush(0, 2, at_ms=at_ms))
    assert lake.resume(PLACE).next_offset == 3
    with open_lake(root) as queries:
        assert queries.rows("select count(*) as n from events") == [{"n": 3}]


def test_equal_flushes_give_equal_files_whoever_writes_them(root: LakePath) -> None:
    contents: list[list[bytes]] = []
    for name in ("one", "other"):
        LocalLake(root / name).write(flush(0, 9))
        both = [*files(root / name, "events"), *files(root / name, "states")]
        contents.append([at(path).read() for path in both])
    assert contents[0] == contents[1]


def test_states_without_their_events_are_not_gone_on_from(lake: LakeStore, root: LakePath) -> None:
    lake.write(flush(0, 4))
    lake.write(flush(5, 9))
    at(files(root, "events")[1]).remove()
    assert lake.resume(PLACE).next_offset == 5


def test_where_old_events_are_gone_the_states_still_tell(lake: LakeStore, root: LakePath) -> None:
    lake.write(flush(0, 4))
    lake.write(flush(5, 9, rows=0))
    lake.write(flush(10, 12, rows=0))
    at(files(root, "events")[0]).remove()
    point = lake.resume(PLACE)
    assert point.next_offset == 13
    assert point.runs.find(["run-1"]) == {"run-1": 4}


def test_a_hole_in_the_states_before_the_oldest_events_is_no_place_to_jump_over(
    lake: LakeStore, root: LakePath
) -> None:
    for first in (0, 5, 10):
        lake.write(flush(first, first + 4))
    for path in files(root, "events")[:2]:
        at(path).remove()
    at(files(root, "states")[1]).remove()
    assert lake.resume(PLACE).next_offset == 5


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_what_the_disk_refuses_is_worth_a_retry_and_names_the_path(
    on_disk: LakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    on_disk.write(flush(0, 4))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(LakeUnavailable, match=r"p03-0+5-0+9\.parquet") as error:
            on_disk.write(flush(5, 9))
    assert os.strerror(code) in str(error.value)
    assert on_disk.resume(PLACE).next_offset == 5
    assert not list(tmp_path.rglob("*.tmp"))
    on_disk.write(flush(5, 9))
    assert on_disk.resume(PLACE).next_offset == 10


def test_a_full_disk_in_the_middle_of_a_file_leaves_nothing(
    on_disk: LakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = os.write, 0

    def fill_up(descriptor: int, content: memoryview) -> int:
        nonlocal written
        if written > 2000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += write(descriptor, content[:500])
        return min(500, len(content))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill_up)
        with pytest.raises(LakeUnavailable, match="No space left"):
            on_disk.write(flush(0, 4))
    assert on_disk.resume(PLACE).next_offset is None
    assert event_rows(tmp_path) == []


def test_a_lake_that_cannot_be_listed_is_unavailable(
    on_disk: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", "/a/folder")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(LakeUnavailable, match=r"cannot list /a/folder: Permission denied"):
        on_disk.resume(PLACE)


def test_no_lake_is_made_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("")
    with pytest.raises(LakeUnavailable, match="a-file"):
        LocalLake(tmp_path / "a-file" / "lake")
    with pytest.raises(LakeUnavailable, match="a-file"):
        LocalLake(tmp_path / "a-file")


def truncate(path: LakePath) -> None:
    at(path).write(at(path).read()[:-10])


def empty(path: LakePath) -> None:
    at(path).write(b"")


def foreign(path: LakePath) -> None:
    content = io.BytesIO()
    pl.read_parquet(at(path).read()).write_parquet(content)
    at(path).write(content.getbuffer())


def of_another_range(path: LakePath) -> None:
    at(path).move(path.with_name("p03-000000000005-000000000008.parquet"))


def of_another_partition(path: LakePath) -> None:
    with parquet_file(path) as parquet:
        table, metadata = parquet.read(), parquet.metadata.metadata or {}
    said = {**metadata, b"runfold.partition": b"4"}
    content = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(said), content)
    at(path).write(content.getbuffer())


DAMAGES = [truncate, empty, foreign, of_another_partition]


@pytest.fixture
def damaged(
    lake: LakeStore, root: LakePath, request: pytest.FixtureRequest
) -> tuple[LakePath, str]:
    """Give the root of a lake in which one file is damaged, and what names that file."""
    kind, damage = request.param
    for first in (0, 5, 10):
        lake.write(flush(first, first + 4))
    path = files(root, kind)[1]
    damage(path)
    return root, f"{kind}.*{path.name}"


@pytest.mark.parametrize(
    "damaged",
    [(kind, damage) for kind in ("events", "states") for damage in DAMAGES],
    indirect=True,
    ids=lambda pair: f"{pair[0]} {pair[1].__name__}",
)
def test_a_damaged_file_is_set_aside_and_the_lake_is_resumed_before_it(
    damaged: tuple[LakePath, str], capsys: pytest.CaptureFixture[str]
) -> None:
    root, name = damaged
    lake = LocalLake(root)
    assert lake.resume(PLACE).next_offset == 5
    assert lake.resume(PLACE).runs.find(["run-1"]) == {"run-1": 4}
    assert re.search(f"lake.file_set_aside.*{name}", capsys.readouterr().out)
    [aside] = list_set_aside(root)
    assert re.search(name, str(aside))
    for first in (5, 10):
        lake.write(flush(first, first + 4))
    assert lake.resume(PLACE).next_offset == 15


@pytest.mark.parametrize("kind", ["events", "states"])
def test_a_file_under_the_name_of_another_range_is_found_out(
    lake: LakeStore, root: LakePath, kind: str
) -> None:
    lake.write(flush(0, 4))
    lake.write(flush(5, 9))
    of_another_range(files(root, kind)[1])
    assert lake.resume(PLACE).next_offset == 5
    assert [path.name for path in list_set_aside(root)] == ["p03-000000000005-000000000008.parquet"]


def test_a_states_file_whose_pages_are_damaged_is_set_aside(
    lake: LakeStore, root: LakePath
) -> None:
    lake.write(flush(0, 4))
    damage_pages(files(root, "states")[0])
    with pytest.raises(LakeCorrupt, match=r"p03-0+-0+4\.parquet has been set aside"):
        lake.states_of(PLACE, {"run-1": 4})
    point = lake.resume(PLACE)
    assert (point.next_offset, point.events_end, len(point.runs)) == (0, 5, 0)


def test_an_events_file_whose_pages_are_damaged_is_set_aside(
    lake: LakeStore, root: LakePath
) -> None:
    lake.write(flush(0, 4))
    damage_pages(files(root, "events")[0])
    with pytest.raises(LakeCorrupt, match=r"p03-0+-0+4\.parquet has been set aside"):
        list(lake.events_of(PLACE, OffsetRange(0, 4)))
    assert lake.resume(PLACE).next_offset is None


def damage_pages(path: LakePath) -> None:
    content = bytearray(at(path).read())
    content[4:600] = b"\xff" * 596
    at(path).write(bytes(content))


def test_the_events_of_a_range_come_once_and_in_order_whatever_files_hold_them(
    lake: LakeStore,
) -> None:
    for first, last in ((0, 4), (3, 9), (10, 12), (20, 22)):
        lake.write(flush(first, last))
    portions = list(lake.events_of(PLACE, OffsetRange(2, 20)))
    offsets = [offset for portion in portions for offset in portion["offset"]]
    assert offsets == [*range(2, 13), 20]
    assert portions[0].columns == lake_event_schema().names


def test_states_are_written_alone_where_the_lake_has_the_events(
    lake: LakeStore, root: LakePath
) -> None:
    whole = flush(0, 4)
    lake.write(whole)
    at(files(root, "states")[0]).remove()
    assert lake.resume(PLACE).next_offset == 0
    lake.write(replace(whole, events=None))
    assert lake.resume(PLACE).next_offset == 5
    assert len(files(root, "events")) == 1


def test_a_state_is_found_where_the_hint_is_wrong(lake: LakeStore) -> None:
    lake.write(flush(0, 4))
    lake.write(flush(5, 9, rows=0))
    for hint in (0, 4, 7, 99):
        [state] = lake.states_of(PLACE, {"run-1": hint, "no-run": 3})
        assert (state.run_id, state.last_offset) == ("run-1", 4)


@pytest.mark.parametrize("damage", [truncate, empty])
@pytest.mark.parametrize(("kind", "view"), [("events", "events"), ("states", "runs")])
def test_a_query_over_a_damaged_file_names_it_and_other_views_go_on(
    lake: LakeStore, root: LakePath, kind: str, view: str, damage: Callable[[LakePath], None]
) -> None:
    lake.write(flush(0, 4))
    path = files(root, kind)[0]
    damage(path)
    with open_lake(root) as queries:
        with pytest.raises(QueryFailed, match=path.name):
            queries.rows(f"select * from {view}")
        queries.rows(f"select * from {'runs' if view == 'events' else 'events'}")


def test_files_of_other_names_are_passed_over(lake: LakeStore, root: LakePath) -> None:
    lake.write(flush(0, 4))
    for kind in ("events", "states"):
        path = files(root, kind)[0]
        for name in ("copy of it.parquet", "p3-0-9.parquet", ".p03-junk.parquet.ab.tmp"):
            at(path.with_name(name)).write(b"junk")
    assert lake.resume(PLACE).next_offset == 5
    assert len(event_rows(root)) == 5
    with open_lake(root) as queries:
        assert queries.rows("select count(*) as n from runs") == [{"n": 1}]


def test_temporary_files_of_the_dead_are_removed_and_those_of_the_living_stay(
    on_disk: LakeStore, tmp_path: Path
) -> None:
    on_disk.write(flush(0, 4))
    folder = Path(str(files(tmp_path, "events")[0].parent))
    old, young = folder / ".p03-a.parquet.ab.tmp", folder / ".p03-b.parquet.cd.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    on_disk.resume(PLACE)
    assert (old.exists(), young.exists()) == (False, True)


def test_rows_that_several_files_hold_are_seen_once(lake: LakeStore, root: LakePath) -> None:
    for first, last in ((0, 2), (3, 8), (0, 5), (4, 4), (7, 12), (3, 8)):
        lake.write(flush(first, last))
    assert [row["offset"] for row in event_rows(root)] == list(range(13))
