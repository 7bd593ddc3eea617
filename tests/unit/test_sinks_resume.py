"""The local lake: what is written, what a crash leaves, and where a partition is resumed."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runfold.schemas.codec.arrow import lake_event_schema
from runfold.schemas.errors import LakeUnavailable
from runfold.schemas.lake import Flush, FlushCounts
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.run_state import RunState
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import parse_file_name
from tests.lake_logs import rows_of

LOG = LogPartition("AAAAAAAAAAAAAAAAAAAAAA", 3)
HOUR_US = 3_600_000_000
START_US = 498_679 * HOUR_US - 10_000_000  # ten seconds before an hour
RUNS = 4
RUN_IDS = [f"run-{number}" for number in range(RUNS)]
_RECORDED = pl.Datetime("us", "UTC")


def run_of(offset: int) -> str:
    return f"run-{offset * offset % RUNS}"


def states_at(end: int, *, changed_since: int = 0) -> list[RunState]:
    """Return the true states of all offsets before `end`: the runs that changed since."""
    states: dict[str, RunState] = {}
    for offset in range(end):
        state = states.setdefault(run_of(offset), RunState(run_of(offset), first_offset=offset))
        state.events += 1
        state.last_offset = offset
    return [each for each in states.values() if each.last_offset >= changed_since]


def flush_of(offsets: OffsetRange, *, second_us: int = 1_000_000) -> Flush:
    """Return what a healthy worker derives from `offsets` of the one true log."""
    rows = range(offsets.first, offsets.next_offset)
    values = {
        "event_id": [f"e{offset}" for offset in rows],
        "run_id": [run_of(offset) for offset in rows],
        "partition": [LOG.partition for _ in rows],
        "offset": list(rows),
        "recorded_at": [START_US + offset * second_us for offset in rows],
    }
    columns = [
        pa.array(values.get(field.name, [None] * len(offsets)), field.type)
        for field in lake_event_schema()
    ]
    events = pl.DataFrame(pa.Table.from_arrays(columns, names=lake_event_schema().names))
    return Flush(
        LOG,
        offsets,
        events,
        states_at(offsets.next_offset, changed_since=offsets.first),
        FlushCounts(len(offsets), len(offsets)),
        START_US + offsets.last * second_us,
    )


def resumed(lake: LocalLake) -> tuple[int | None, dict[str, RunState]]:
    point = lake.resume(LOG)
    known = point.runs.find(RUN_IDS)
    assert len(known) == len(point.runs)
    return point.next_offset, {state.run_id: state for state in lake.states_of(LOG, known)}


def truth_at(end: int) -> dict[str, RunState]:
    return {state.run_id: state for state in states_at(end)}


def contiguous(ranges: Iterable[OffsetRange]) -> int:
    ordered = sorted(ranges)
    end = ordered[0].first
    for each in ordered:
        if each.first > end:
            break
        end = max(end, each.next_offset)
    return end


def files_of(root: Path) -> list[str]:
    found = (root / LOG.topic_id).rglob("*.parquet")
    return sorted(str(path.relative_to(root / LOG.topic_id)) for path in found)


_RANGES = st.builds(
    lambda first, length: OffsetRange(first, first + length - 1),
    st.integers(0, 12),
    st.integers(1, 15),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_RANGES, min_size=1, max_size=8))
def test_overlapping_ranges_in_any_order_resume_at_the_first_hole_with_the_true_states(
    ranges: list[OffsetRange],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = LocalLake(Path(folder))
        from_zero = [OffsetRange(0, 1), *ranges]
        for offsets in from_zero:
            lake.write(flush_of(offsets))
        end = contiguous(from_zero)
        assert resumed(lake) == (end, truth_at(end))


@settings(max_examples=40, deadline=None)
@given(st.lists(_RANGES, max_size=6), st.data())
def test_states_beyond_the_events_are_never_used(
    ranges: list[OffsetRange], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = LocalLake(Path(folder))
        lake.write(flush_of(OffsetRange(0, 1)))
        for offsets in ranges:
            lake.write(flush_of(offsets))
        names = [name for name in files_of(Path(folder)) if name.startswith("events")]
        gone = data.draw(st.sets(st.sampled_from(names)))
        for name in gone:
            (Path(folder) / LOG.topic_id / name).unlink()
        next_offset, states = resumed(lake)
        if next_offset is None:
            assert not states
            return
        left = [parse_file_name(Path(name).name) for name in set(names) - gone]
        assert next_offset <= contiguous([each[1] for each in left if each is not None])
        assert states == truth_at(next_offset)


def test_where_events_end_before_the_states_do_the_states_go_back_too(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    for offsets in (OffsetRange(0, 4), OffsetRange(3, 9)):
        lake.write(flush_of(offsets))
    (events,) = (name for name in files_of(tmp_path) if "000000000003-000000000009" in name
                 and name.startswith("events"))  # fmt: skip
    (tmp_path / LOG.topic_id / events).unlink()
    assert resumed(lake) == (5, truth_at(5))


def test_an_empty_lake_resumes_nowhere(tmp_path: Path) -> None:
    point = LocalLake(tmp_path).resume(LOG)
    assert (point.first_offset, point.next_offset, len(point.runs)) == (None, None, 0)


def test_a_partition_is_not_mistaken_for_one_whose_number_begins_alike(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    lake.write(flush_of(OffsetRange(0, 4)))
    for other in (LogPartition(LOG.topic_id, 33), LogPartition("B" * 22, LOG.partition)):
        assert lake.resume(other).next_offset is None


class PowerFailure(BaseException):
    """The process ends here; nothing of ours handles it."""


def _failing(call: Callable[..., Any], at: int, error: BaseException) -> Callable[..., Any]:
    """Return `call`, whose call number `at` raises `error` instead."""
    calls = count()

    def failing(*args: object, **kwargs: object) -> Any:
        if next(calls) == at:
            raise error
        return call(*args, **kwargs)

    return failing


def _survives(lake: LocalLake, flush: Flush) -> bool:
    try:
        lake.write(flush)
    except (PowerFailure, LakeUnavailable):
        return False
    return True


@pytest.mark.parametrize("error", [PowerFailure(), OSError(errno.ENOSPC, "No space left")], ids=str)
@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_a_write_that_fails_at_any_step_is_resumed_and_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    """Crashes at the first, second, … call of `step`, until a write needs no more of them."""
    for at in count():
        root = tmp_path / str(at)
        lake = LocalLake(root)
        lake.write(flush_of(OffsetRange(0, 4)))
        with monkeypatch.context() as patched:
            patched.setattr(os, step, _failing(getattr(os, step), at, error))
            if _survives(lake, flush_of(OffsetRange(5, 14))):
                break
        next_offset, states = resumed(lake)
        assert next_offset in (5, 15)
        assert states == truth_at(next_offset)
        assert not list(root.rglob("*.tmp"))
        lake.write(flush_of(OffsetRange(5, 14)))
        assert resumed(lake) == (15, truth_at(15))
    assert at >= 3, "two pieces of events and one of states are written"


def test_a_full_disk_is_a_reason_to_try_again_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = LocalLake(tmp_path)
    monkeypatch.setattr(os, "fsync", _failing(os.fsync, 0, OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(LakeUnavailable, match=r"No space left") as caught:
        lake.write(flush_of(OffsetRange(0, 4)))
    assert str(tmp_path) in str(caught.value)
    assert caught.value.disposition == "retry"


def test_a_flush_is_cut_at_the_hour_and_its_pieces_tile_its_range(tmp_path: Path) -> None:
    LocalLake(tmp_path).write(flush_of(OffsetRange(5, 14)))
    events = [name for name in files_of(tmp_path) if name.startswith("events")]
    hours = [name.split("/")[2] for name in events]
    ranges = [name.rsplit("/", 1)[1] for name in events]
    assert ranges == [
        "p03-000000000005-000000000009.parquet",
        "p03-000000000010-000000000014.parquet",
    ]
    assert len(set(hours)) == 2
    first, second = (pl.read_parquet(tmp_path / LOG.topic_id / name) for name in events)
    assert first["offset"].to_list() == [5, 6, 7, 8, 9]
    assert (
        second["recorded_at"].min()
        == pl.select(pl.lit(START_US + 10_000_000).cast(_RECORDED)).item()
    )


def test_a_range_without_a_row_leaves_one_file_in_the_hour_of_its_last_record(
    tmp_path: Path,
) -> None:
    lake = LocalLake(tmp_path)
    whole = flush_of(OffsetRange(0, 12))
    nothing = Flush(
        LOG, whole.range, rows_of(whole).clear(), [], FlushCounts(13, 0, 13), whole.recorded_at_us
    )
    lake.write(nothing)
    lake.write(nothing)
    name = "p03-000000000000-000000000012.parquet"
    assert [each.rsplit("/", 1)[1] for each in files_of(tmp_path)] == [name, name]
    assert resumed(lake) == (13, {})


def _damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 4
    path.write_bytes(
        {
            "empty": b"",
            "truncated": content[:-9],
            "half": content[: len(content) // 2],
            "noise": os.urandom(4000),
            "overwritten": content[:8] + b"\xff" * middle + content[8 + middle :],
        }[how]
    )


@pytest.mark.parametrize("kind", ["events", "states"])
@pytest.mark.parametrize("how", ["empty", "truncated", "half", "noise"])
def test_a_damaged_file_is_set_aside_and_its_range_can_be_written_again(
    tmp_path: Path, kind: str, how: str
) -> None:
    lake = LocalLake(tmp_path)
    for first in (0, 5):
        lake.write(flush_of(OffsetRange(first, first + 4)))
    name = next(name for name in files_of(tmp_path) if name.startswith(kind))
    _damaged(tmp_path / LOG.topic_id / name, how)
    assert resumed(lake)[0] in (None, 0)
    assert (tmp_path / LOG.topic_id / "set-aside" / name).exists()
    lake.write(flush_of(OffsetRange(0, 4)))
    assert resumed(lake) == (10, truth_at(10))


def test_damage_inside_a_states_file_sets_it_aside_among_many(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    for first in (0, 5, 10):
        lake.write(flush_of(OffsetRange(first, first + 4)))
    name = "states/p03-000000000005-000000000009.parquet"
    _damaged(tmp_path / LOG.topic_id / name, "overwritten")
    assert resumed(lake) == (5, truth_at(5))
    assert (tmp_path / LOG.topic_id / "set-aside" / name).exists()


@pytest.mark.parametrize("kind", ["events", "states"])
def test_a_file_from_elsewhere_is_set_aside_and_named(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = LocalLake(tmp_path)
    lake.write(flush_of(OffsetRange(0, 4)))
    path = next(tmp_path / LOG.topic_id / each for each in files_of(tmp_path) if kind in each)
    path.rename(path.with_name("p03-000000000000-000000000005.parquet"))
    lake.write(flush_of(OffsetRange(6, 9)))
    if kind == "states":
        lake.write(replace(flush_of(OffsetRange(5, 5)), states=[]))
        path.with_name("p03-000000000005-000000000005.parquet").unlink()
    resumed(lake)
    said = capsys.readouterr().out
    assert "p03-000000000000-000000000005" in said
    assert "last_offset is 4" in said
    lake.write(flush_of(OffsetRange(0, 5)))
    assert resumed(lake) == (10, truth_at(10))


def test_what_a_dead_writer_left_is_removed_after_an_hour_and_never_read(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    lake.write(flush_of(OffsetRange(0, 4)))
    folder = tmp_path / LOG.topic_id / "states"
    old = folder / ".p03-000000000005-000000000009.parquet.0a0b0c.tmp"
    young = folder / ".p03-000000000005-000000000009.parquet.1a1b1c.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    long_ago = time.time() - 2 * 3600
    os.utime(old, (long_ago, long_ago))
    assert resumed(lake) == (5, truth_at(5))
    assert (old.exists(), young.exists()) == (False, True)
