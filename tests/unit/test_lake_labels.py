"""What the events files of a flush say of the records that they came from."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from runfold.processors.run_table import RunTable
from runfold.schemas.lake import Flush, FlushCounts
from runfold.schemas.record_batch import RecordBatch
from runfold.sinks.file_labels import read_labels
from runfold.sinks.lake import LocalLake
from tests.lake_logs import rows_of
from tests.lakes_of_events import LOG, NOON_US, encoded, event

HOUR_MS = 3_600_000


@pytest.fixture
def flush() -> Flush:
    """Give what a worker made of two hours: in each a duplicate, in the first a dead letter."""
    first = [encoded(event("r", "run.started")), encoded(event("r", "log.written"))]
    second = [encoded(event("r", "run.ended", status="success")), encoded(event("r", "custom"))]
    values: list[bytes | None] = [*first, first[1], b"no event", *second, first[0]]
    times = [NOON_US // 1000] * 4 + [NOON_US // 1000 + HOUR_MS] * 3
    table = RunTable(LOG, 0)
    keys: list[bytes | None] = [b"r"] * 7
    table.take(RecordBatch(LOG, 0, list(range(7)), times, keys, values))
    flush = table.pending()
    assert flush is not None
    return flush


def counts_in(root: Path) -> list[FlushCounts]:
    """Return the labels of the events files, in log order."""
    paths = sorted(root.glob("*/events/*/*/p*.parquet"), key=lambda path: path.name)
    names = ("records", "events", "duplicates", "dead_letters")
    said = [read_labels(path) for path in paths]
    return [FlushCounts(*(int(each[f"runfold.{name}"]) for name in names)) for each in said]


def test_each_piece_of_a_flush_says_what_became_of_its_records(
    flush: Flush, tmp_path: Path
) -> None:
    LocalLake(tmp_path).write(flush)
    assert counts_in(tmp_path) == [FlushCounts(4, 2, 1, 1), FlushCounts(3, 2, 1, 0)]


def test_a_row_lost_before_it_is_written_is_no_duplicate(flush: Flush, tmp_path: Path) -> None:
    rows = rows_of(flush).filter(pl.col("offset") != 4)
    lossy = Flush(flush.log, flush.range, rows, flush.states, flush.counts, flush.recorded_at_us)
    LocalLake(tmp_path).write(lossy)
    said = counts_in(tmp_path)
    assert said[0] + said[1] == flush.counts
    assert sum(each.events + each.dead_letters for each in said) == rows.height + 1
