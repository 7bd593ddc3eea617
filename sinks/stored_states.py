"""The states that the lake holds: where each run is, and the newest of some of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from runfold.schemas.codec.arrow import lake_state_schema, states_from_table
from runfold.schemas.past_runs import PastRuns
from runfold.schemas.run_state import RunState
from runfold.sinks.lake_files import LakeFile
from runfold.sinks.object_path import LakePath
from runfold.sinks.older_files import with_columns
from runfold.sinks.parquet_reading import columns_of, parquet_file
from runfold.sinks.set_aside import reading

_FILES_AT_ONCE = 256


def runs_in(root: LakePath, files: Sequence[LakeFile]) -> PastRuns:
    """Return every run of `files`, each with the last offset that they hold of it.

    Memory: the run ids of some files at a time. Raises: LakeUnavailable, LakeCorrupt.
    """
    past = PastRuns()
    for start in range(0, len(files), _FILES_AT_ONCE):
        portion = files[start : start + _FILES_AT_ONCE]
        rows = pl.concat([_last_offsets(root, file) for file in portion])
        past.add_all(rows.group_by("run_id").agg(pl.col("last_offset").max()))
    return past


def _last_offsets(root: LakePath, file: LakeFile) -> pl.DataFrame:
    with reading(root, file):
        return columns_of(file.path, ["run_id", "last_offset"])


def newest_states(
    root: LakePath, files: Sequence[LakeFile], runs: Mapping[str, int]
) -> list[RunState]:
    """Return the newest state of each of `runs` that `files` hold one of.

    Shape: `runs` has for each run id the offset at which it was heard of last, as far as known.
    Raises: LakeUnavailable, LakeCorrupt.
    """
    newest_last = sorted(files, key=lambda file: (file.range.last, -file.range.first))
    found: dict[str, RunState] = {}
    for file, run_ids in _by_file(newest_last, runs):
        found |= {state.run_id: state for state in _states_in(root, file, run_ids)}
    for file in reversed(newest_last):  # a hint was wrong: very rare
        missing = runs.keys() - found.keys()
        if not missing:
            break
        found |= {state.run_id: state for state in _states_in(root, file, missing)}
    return list(found.values())


def _by_file(
    files: Sequence[LakeFile], runs: Mapping[str, int]
) -> Iterable[tuple[LakeFile, list[str]]]:
    """Return for each file the runs whose last offset it holds. Shape: `files` by last offset."""
    ends = [file.range.last for file in files]
    chosen: dict[int, list[str]] = {}
    for run_id, last_offset in runs.items():
        at = bisect_left(ends, last_offset)
        while at < len(files) and last_offset not in files[at].range:
            at += 1
        if at < len(files):
            chosen.setdefault(at, []).append(run_id)
    return [(files[at], run_ids) for at, run_ids in chosen.items()]


def _states_in(root: LakePath, file: LakeFile, run_ids: Iterable[str]) -> Iterator[RunState]:
    wanted = sorted(run_ids)
    with reading(root, file), parquet_file(file.path) as parquet:
        groups = [
            group
            for group in range(parquet.num_row_groups)
            if _may_hold(parquet.metadata.row_group(group), wanted)
        ]
        if not groups:
            return
        rows = parquet.read_row_groups(groups, use_threads=False)
        rows = rows.filter(pc.is_in(rows["run_id"], pa.array(wanted, pa.string())))
    yield from states_from_table(with_columns(rows, lake_state_schema()))


def _may_hold(group: pq.RowGroupMetaData, wanted: list[str]) -> bool:
    """Tell whether a group of rows, which lie in the order of `run_id`, may hold one of them."""
    statistics = group.column(_RUN_ID_COLUMN).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    at = bisect_left(wanted, statistics.min)
    return at < len(wanted) and wanted[at] <= statistics.max


_RUN_ID_COLUMN = lake_state_schema().get_field_index("run_id")
