"""The newest state of every run, out of many states files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from runfold.schemas.codec.arrow import lake_state_schema, states_from_table
from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.run_state import RunState
from runfold.sinks.durable_files import lake_errors
from runfold.sinks.lake_files import LakeFile

_FILES_AT_ONCE = 64
_BYTES_AT_ONCE = 16 * 1024 * 1024


def newest_states(files: Sequence[LakeFile]) -> Iterator[RunState]:
    """Yield each run's state as of the last offset that `files` hold of it.

    Shape: the files cover one log without a hole, overlaps are normal. A file has every run that
    changed in its range, as of the end of the range, so the one that ends last is right.
    Memory: the run ids, and some 16 MB of files at a time.
    Raises: LakeUnavailable, LakeCorrupt naming the file, also in the middle.
    """
    newest_first = sorted(files, key=lambda file: (-file.range.last, file.range.first))
    seen: set[str] = set()
    for together in _portions(newest_first):
        rows = _read(together).unique("run_id", keep="first", maintain_order=True)
        fresh = rows.filter([run_id not in seen for run_id in rows["run_id"]])
        seen.update(fresh["run_id"])
        yield from states_from_table(fresh.to_arrow())


def _portions(files: Sequence[LakeFile]) -> Iterator[list[LakeFile]]:
    portion: list[LakeFile] = []
    size_bytes = 0
    for file in files:
        with lake_errors(file.path, "read"):
            size_bytes += file.path.stat().st_size
        portion.append(file)
        if len(portion) == _FILES_AT_ONCE or size_bytes > _BYTES_AT_ONCE:
            yield portion
            portion, size_bytes = [], 0
    if portion:
        yield portion


def _read(files: Sequence[LakeFile]) -> pl.DataFrame:
    """Return the rows of `files`, one file after the other."""
    paths = [file.path for file in files]
    try:
        with lake_errors(paths[0], "read"):
            rows = pl.read_parquet(
                paths, glob=False, hive_partitioning=False, missing_columns="insert"
            )
            return rows.select(lake_state_schema().names)
    except pl.exceptions.PolarsError as error:
        if len(files) > 1:  # which of them is it?
            return pl.concat([_read([file]) for file in files], how="diagonal")
        raise LakeCorrupt(f"{paths[0]}: {error}") from error
