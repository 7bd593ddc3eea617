"""Files that are merged and removed, and what is read meanwhile."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
import structlog.testing

from runfold.schemas.errors import LakeUnavailable
from runfold.schemas.lake import FlushCounts
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.sinks.compaction.compactor import Compactor
from runfold.sinks.file_labels import counts_in, read_labels
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import Kind
from runfold.sinks.query import open_lake
from tests.crashes import Crashed, crash_at
from tests.unit.test_sinks_resume import HOUR_US, LOG, flush_of, states_at

DAY_S = 24 * 3600
NO_GRACE = timedelta(0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a lake of one partition: two hours of a day that is over, and an hour that lasts."""
    return made(tmp_path / "lake")


def made(root: Path) -> Path:
    lake = LocalLake(root)
    for first in range(0, 20, 2):  # the hour ends after the offset 9
        lake.write(flush_of(OffsetRange(first, first + 1)))
    lake.write(flush_of(OffsetRange(20, 20), second_us=DAY_S * 1_000_000))
    return root


def compacted(root: Path, grace: timedelta = NO_GRACE) -> None:
    Compactor(root, grace).compact(LOG)


def names(root: Path, kind: str) -> list[str]:
    """Return the folder of the hour and the offsets of each file, in log order."""
    paths = sorted((root / LOG.topic_id / kind).rglob("p*.parquet"), key=lambda path: path.name)
    return [f"{path.parent.name} {path.stem}" for path in paths]


def path_of(root: Path, kind: str, offsets: str) -> Path:
    first, last = (f"{int(each):012d}" for each in offsets.split("-"))
    [path] = (root / LOG.topic_id / kind).rglob(f"p03-{first}-{last}.parquet")
    return path


def read(root: Path) -> tuple[list[Any], list[Any], list[str]]:
    """Return all that a reader sees of a lake."""
    with open_lake(root) as queries:
        rows = queries.rows('select * from lake_rows order by "offset"')
        runs = queries.rows("select * from lake_states order by run_id")
    lake = LocalLake(root)
    known = {state.run_id: state.last_offset for state in states_at(21)}
    return rows, runs, sorted(repr(state) for state in lake.states_of(LOG, known))


def rewritten(path: Path, labels: dict[str, str], rows: pl.DataFrame | None = None) -> None:
    """Write a file anew, with other rows or labels."""
    frame = pl.read_parquet(path, hive_partitioning=False) if rows is None else rows
    said = {name: value for name, value in read_labels(path).items() if name != "ARROW:schema"}
    said |= {f"runfold.{name}": value for name, value in labels.items()}
    frame.write_parquet(path, metadata=said)


def test_a_day_that_is_over_becomes_one_file_and_its_states_one(root: Path) -> None:
    before = read(root)
    compacted(root)
    assert names(root, "events") == [
        "hour=all p03-000000000000-000000000019",
        "hour=06 p03-000000000020-000000000020",
    ]
    assert names(root, "states") == ["states p03-000000000000-000000000020"]
    assert read(root) == before
    assert LocalLake(root).resume(LOG).next_offset == 21
    assert not [folder for folder in root.rglob("hour=*") if not list(folder.iterdir())]


def test_what_has_been_compacted_is_left_alone(root: Path) -> None:
    compacted(root)
    assert Compactor(root, NO_GRACE).compact(LOG).written_files == 0


def test_an_hour_that_is_over_becomes_one_file_while_its_day_lasts(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path, NO_GRACE)
    for first in range(0, 14, 2):
        lake.write(flush_of(OffsetRange(first, first + 1)))
    lake.compact(LOG)
    assert names(tmp_path, "events") == [
        "hour=06 p03-000000000000-000000000009",
        "hour=07 p03-000000000010-000000000011",
        "hour=07 p03-000000000012-000000000013",
    ]


def test_a_merged_file_says_what_its_sources_said_together(root: Path) -> None:
    rewritten(path_of(root, "events", "0-1"), {"duplicates": "3", "records": "5"})
    rewritten(path_of(root, "states", "0-1"), {"duplicates": "3", "records": "5"})
    compacted(root)
    for kind, last, counts in (
        ("events", 19, FlushCounts(23, 20, 3, 0)),
        ("states", 20, FlushCounts(24, 21, 3, 0)),
    ):
        said = read_labels(path_of(root, kind, f"0-{last}"))
        assert counts_in(said) == counts
        assert (said["runfold.first_offset"], said["runfold.last_offset"]) == ("0", str(last))


def test_of_a_file_that_is_read_in_part_what_left_no_row_was_a_duplicate(root: Path) -> None:
    path = path_of(root, "events", "6-7")
    rows = pl.read_parquet(path, hive_partitioning=False).head(1)
    rewritten(path, {"events": "1", "duplicates": "1"}, rows)
    LocalLake(root).write(flush_of(OffsetRange(0, 6)))
    compacted(root)
    said = read_labels(path_of(root, "events", "0-19"))
    assert counts_in(said) == FlushCounts(20, 19, 1, 0)


def test_states_lie_in_groups_of_rows_in_the_order_of_the_run(root: Path) -> None:
    compacted(root)
    with pq.ParquetFile(path_of(root, "states", "0-20")) as parquet:
        assert parquet.read(["run_id"])["run_id"].to_pylist() == ["run-0", "run-1"]
        assert parquet.metadata.row_group(0).column(0).statistics.max == "run-1"


def test_many_states_are_merged_in_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runfold.sinks.compaction.sources._ROWS_AT_ONCE", 3)
    lake = LocalLake(tmp_path, NO_GRACE)
    truth: dict[str, int] = {}
    for first in range(0, 96, 8):
        flush = flush_of(OffsetRange(first, first + 7))
        states = [
            type(state)(f"run-{offset * 7 % 40:02d}", last_offset=offset)
            for offset, state in zip(range(first, first + 8), [flush.states[0]] * 8, strict=True)
        ]
        flush.states[:] = states
        truth |= {state.run_id: state.last_offset for state in states}
        lake.write(flush)
    lake.compact(LOG)
    assert len(names(tmp_path, "states")) == 1
    rows = (
        pl.read_parquet(path_of(tmp_path, "states", "0-95")).select("run_id", "last_offset").rows()
    )
    assert rows == sorted(truth.items())


def test_a_hole_stays_a_hole(root: Path) -> None:
    for kind in ("events", "states"):
        path_of(root, kind, "8-9").unlink()
    compacted(root)
    assert names(root, "events")[:2] == [
        "hour=06 p03-000000000000-000000000007",
        "hour=07 p03-000000000010-000000000019",
    ]
    assert names(root, "states")[0] == "states p03-000000000000-000000000007"


def test_merged_files_are_removed_when_the_grace_is_over(root: Path) -> None:
    grace = timedelta(minutes=15)
    all_names = names(root, "events")
    compacted(root, grace)
    assert set(all_names) < set(names(root, "events"))
    for offsets, seconds in (("0-19", 14 * 60), ("0-19", 16 * 60)):
        at = time.time() - seconds
        os.utime(path_of(root, "events", offsets), (at, at))
        compacted(root, grace)
        gone = not set(all_names) <= set(names(root, "events"))
        assert gone == (seconds > 15 * 60)
    assert len(names(root, "events")) == 2
    assert len(names(root, "states")) == 12, "their merged file is younger"


def damaged_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["events", "states"])
@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b""), damaged_pages], ids=["empty", "pages"]
)
def test_a_damaged_file_is_set_aside_and_named_and_the_others_are_merged(
    root: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    path = path_of(root, kind, "4-5")
    damage(path)
    with structlog.testing.capture_logs() as logged:
        compacted(root)
    [said] = (each for each in logged if each["log_level"] in {"warning", "error"})
    assert said["path"] == str(path)
    assert Path(said["to"]).exists()
    assert [each.split()[1] for each in names(root, kind)] == {
        "events": [
            "p03-000000000000-000000000003",
            "p03-000000000006-000000000019",
            "p03-000000000020-000000000020",
        ],
        "states": [
            "p03-000000000000-000000000001",
            "p03-000000000002-000000000003",
            "p03-000000000006-000000000020",
        ],
    }[kind]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"schema_version": "99"}, "'99'"),
        ({"of_tomorrow": "2"}, "runfold.of_tomorrow"),
        ({"events": "x"}, "counts"),
        ({"events": "1"}, "says"),
    ],
)
def test_a_file_that_this_program_may_not_rewrite_is_named_and_left_alone(
    root: Path, labels: dict[str, str], reason: str
) -> None:
    path = path_of(root, "events", "4-5")
    rewritten(path, labels)
    content = path.read_bytes()
    compactor = Compactor(root, NO_GRACE)
    with structlog.testing.capture_logs() as logged:
        compactor.compact(LOG)
        compactor.compact(LOG)
    [said] = (each for each in logged if each["log_level"] == "warning")
    assert said["path"] == str(path)
    assert reason in said["reason"]
    assert path.read_bytes() == content
    assert len(names(root, "events")) == 4


def test_a_column_that_is_not_known_here_is_not_dropped(root: Path) -> None:
    path = path_of(root, "events", "4-5")
    frame = pl.read_parquet(path, hive_partitioning=False)
    rewritten(path, {}, frame.with_columns(tomorrow=pl.lit(1)))
    compacted(root)
    assert "tomorrow" in pl.read_parquet_schema(path)


def test_a_merged_file_that_is_damaged_before_the_grace_is_over_removes_nothing(
    root: Path,
) -> None:
    before = read(root)
    compacted(root, timedelta(minutes=15))
    for kind, offsets in (("events", "0-19"), ("states", "0-20")):
        path_of(root, kind, offsets).write_bytes(b"")
    with structlog.testing.capture_logs() as logged:
        Compactor(root, NO_GRACE).vacuum(LOG)
    assert [each["event"] for each in logged] == ["lake.file_set_aside"] * 2
    assert read(root) == before


def test_a_file_whose_rows_are_not_in_the_one_that_covers_it_is_not_removed(root: Path) -> None:
    compacted(root, timedelta(minutes=15))
    path = path_of(root, "events", "0-19")
    rows = pl.read_parquet(path, hive_partitioning=False).filter(pl.col("offset") != 5)
    rewritten(path, {"events": "19", "duplicates": "1"}, rows)
    with structlog.testing.capture_logs() as logged:
        Compactor(root, NO_GRACE).vacuum(LOG)
    [said] = (each for each in logged if each["event"] == "lake.file_kept")
    assert said["path"] == str(path_of(root, "events", "4-5"))
    rewritten(path, {"events": "20", "duplicates": "0"}, rows)
    assert Compactor(root, NO_GRACE).vacuum(LOG).removed_files == 0


def test_a_file_that_says_more_than_it_has_is_no_reason_to_remove_others(root: Path) -> None:
    compacted(root, timedelta(minutes=15))
    rewritten(path_of(root, "events", "0-19"), {"events": "21"})
    Compactor(root, NO_GRACE).vacuum(LOG)
    assert len(names(root, "events")) == 12


def test_a_crash_at_any_step_leaves_a_lake_that_reads_the_same(root: Path, tmp_path: Path) -> None:
    truth = read(root)
    unfinished = []
    for step in range(0, 10_000, 29):
        lake = tmp_path / str(step)
        shutil.copytree(root, lake)
        with crash_at(step):
            compacted(lake)
        assert read(lake) == truth
        unfinished.append(len(list(lake.rglob("p*.parquet"))) > 3)
        compacted(lake)
        assert read(lake) == truth
        assert len(list(lake.rglob("p*.parquet"))) == 3
        if not unfinished[-1]:
            break
    assert sum(unfinished) > 4


def test_a_crash_between_two_removals_leaves_a_lake_that_reads_the_same(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = read(root)
    compacted(root, timedelta(hours=1))
    unlink = os.unlink
    for survived in count(0, 4):
        lake = tmp_path / str(survived)
        shutil.copytree(root, lake)
        left = survived

        def dies(path: Path) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crashed
            unlink(path)

        with monkeypatch.context() as patch, suppress(Crashed):
            patch.setattr(os, "unlink", dies)
            compacted(lake)
        assert read(lake) == truth
        compacted(lake)
        assert read(lake) == truth
        assert len(list(lake.rglob("p*.parquet"))) == 3
        if left >= 0:
            break
    assert survived > 15


def test_a_full_disk_is_worth_a_retry_and_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(root)
    write, room = os.write, 3000

    def fill_up(descriptor: int, content: memoryview) -> int:
        nonlocal room
        room -= len(content)
        if room < 0:
            raise OSError(28, "No space left on device")
        return write(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill_up)
        with pytest.raises(LakeUnavailable, match=r"cannot write .*No space left"):
            compacted(root)
    assert not list(root.rglob("*.tmp"))
    assert read(root) == before


def test_two_that_compact_at_once_do_no_harm(tmp_path: Path) -> None:
    for attempt in range(2):
        root = made(tmp_path / str(attempt))
        before = read(root)
        failed: list[BaseException] = []

        def run(root: Path = root, failed: list[BaseException] = failed) -> None:
            try:
                compacted(root)
            except BaseException as error:  # noqa: BLE001 - shown below
                failed.append(error)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert read(root) == before
        compacted(root)
        assert len(list(root.rglob("p*.parquet"))) == 3


def test_compaction_ends_soon_when_it_is_no_longer_wanted(root: Path) -> None:
    before = read(root)
    asked = iter([False, False, True])  # before each group of rows, and at the end of a file
    done = Compactor(root, NO_GRACE).compact(LOG, stopped=lambda: next(asked))
    assert done.written_files == 1
    assert not list(root.rglob("*.tmp"))
    assert read(root) == before
    assert {kind for kind in Kind if len(names(root, kind)) > 2}


QUESTIONS = [
    "select count(*) from events",
    'select "offset" from events where run_id = \'run-1\' and event_type is null order by 1',
    "select count(*) from events as a join events as b using (event_id)",
    "select date, hour, count(*) from events group by all having count(*) > 1",
    "with e as (from events) select count(*) from e as a join e as b using (date) where a.hour < 9",
    "select count(*) from range(9) as t(i) left join events on events.\"offset\" = t.i",
    "select run_id, events from runs where run_id in (select run_id from events)",
    "select count(*) from events where \"offset\" > (select avg(\"offset\") from events)",
    "select run_id, max(last_offset) from runs group by 1",
    "from tools limit 1",
]  # fmt: skip


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a lake in which what was merged cannot be read, and more files than a few."""
    root = tmp_path_factory.mktemp("merged")
    lake = LocalLake(root)
    for first in range(0, 140, 2):
        lake.write(flush_of(OffsetRange(first, first + 1), second_us=1000))
    apart = list(root.rglob("p*.parquet"))
    for first in (0, 20, 40):
        lake.write(flush_of(OffsetRange(first, first + 19), second_us=1000))
    whole = [path for path in apart if int(path.stem[4:16]) >= 60]
    assert len(whole) == 80
    for path in set(apart) - set(whole):
        path.write_bytes(b"whoever reads this fails")
    for first in range(140, 180, 2):  # DuckDB takes up to 50 for few
        lake.write(flush_of(OffsetRange(first, first + 1), second_us=1000))
    return root


def plain_duckdb(root: Path) -> Iterator[Callable[[str], list[Any]]]:
    with duckdb.connect() as connection:
        connection.execute((root / "views.sql").read_text("utf-8"))
        yield lambda sql: connection.execute(sql).fetchall()


def our_engine(root: Path) -> Iterator[Callable[[str], list[Any]]]:
    with open_lake(root) as queries:
        yield lambda sql: [tuple(row.values()) for row in queries.rows(sql)]


@pytest.mark.parametrize("engine", [our_engine, plain_duckdb])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_file_that_was_merged_is_not_opened_by_any_query(
    merged: Path, engine: Callable[[Path], Iterator[Callable[[str], list[Any]]]], question: str
) -> None:
    for ask in engine(merged):
        ask(question)


COUNTED = """
select (select count(*) from events), (select sum("offset") from events),
       (select count(*) from events as a join events as b using (topic_id, event_id)),
       (select sum(last_offset) from runs)
"""


class Reader(threading.Thread):
    """Asks the same again and again, and notes the answers; `asked` counts what was answered."""

    def __init__(
        self, root: Path, opened: Callable[[Path], Iterator[Callable[[str], list[Any]]]]
    ) -> None:
        super().__init__(daemon=True)
        self.answers: set[Any] = set()
        self.asked = 0
        self.stopped = False
        self._opened = opened(root)

    def run(self) -> None:
        for ask in self._opened:
            while not self.stopped:
                try:
                    self.answers.add(tuple(ask(COUNTED)))
                except BaseException as error:  # noqa: BLE001 - it is an answer, a wrong one
                    self.answers.add(repr(error))
                self.asked += 1

    def wait_for_two(self) -> None:
        """Wait until a question that was not asked yet has been answered."""
        until = self.asked + 2
        deadline = time.monotonic() + 60
        while self.asked < until and time.monotonic() < deadline:
            time.sleep(0.001)
        assert self.asked >= until


def test_queries_count_right_while_files_are_merged_and_removed(tmp_path: Path) -> None:
    """A file is removed when the queries are over that ran while it was merged, as by the grace."""
    lake = LocalLake(tmp_path)
    logs = [LogPartition(f"log-{number}", 3) for number in range(3)]
    for log in logs:
        for first in range(0, 24, 2):
            offsets = OffsetRange(first, first + 1)
            lake.write(replace(flush_of(offsets, second_us=HOUR_US), log=log))
    readers = [Reader(tmp_path, opened) for opened in (our_engine, plain_duckdb)]
    for reader in readers:
        reader.start()
        reader.wait_for_two()
    for log in logs:
        Compactor(tmp_path, timedelta(hours=1)).compact(log)
        for reader in readers:
            reader.wait_for_two()
        removed = Compactor(tmp_path, NO_GRACE).compact(log).removed_files
        assert removed > 12
    for reader in readers:
        reader.stopped = True
        reader.join(60)
    right = (72, 3 * sum(range(24)), 72, 22 + 23)
    assert [reader.answers for reader in readers] == [{(right,)}, {(right,)}]
