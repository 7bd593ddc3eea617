"""The states of several files as those of one: the newest of each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa

from runfold.schemas.codec.arrow import lake_state_schema
from runfold.schemas.lake import FlushCounts
from runfold.schemas.offsets import Tile
from runfold.sinks.compaction.plan import SizedFile
from runfold.sinks.compaction.sources import NotMergeable, portions, source_counts
from runfold.sinks.lake_files import LakeFile
from runfold.sinks.object_path import LakePath

_BYTES_AT_ONCE = 16 * 1024 * 1024


class MergedStates:
    """Gives the newest row of every run in the order of `run_id`; `counts` are of all files.

    A file has every run that changed in its range, as of the end of the range, so that the one
    that ends last is right.
    Memory: some 16 MB, in portions of all files at once.
    """

    def __init__(self, root: LakePath, tiles: Sequence[Tile[SizedFile]]) -> None:
        newest_first = sorted(
            (tile.source.file for tile in tiles), key=lambda file: -file.range.last
        )
        self.counts = sum((source_counts(root, file) for file in newest_first), FlushCounts())
        portion_bytes = _BYTES_AT_ONCE // len(newest_first)
        self._sources = [_SortedStates(root, file, portion_bytes) for file in newest_first]

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield all rows in portions. Raises: LakeUnavailable, LakeCorrupt, NotMergeable."""
        while True:
            ends = [source.last_run for source in self._sources]
            known = [end for end in ends if end is not None]
            if not known:
                return
            # Up to there every file has been read; what comes later may still be in several.
            together = pa.concat_tables(source.take(min(known)) for source in self._sources)
            yield together.take(_newest(together["run_id"])).combine_chunks()


class _SortedStates:
    """The rows of one file, of which a portion is in memory."""

    def __init__(self, root: LakePath, file: LakeFile, portion_bytes: int) -> None:
        self._file = file
        schema = lake_state_schema()
        self._portions = portions(root, file, schema, most_bytes=portion_bytes)
        self._rows = schema.empty_table()
        self._run_ids = pl.Series("run_id", [], pl.String)
        self._before = ""

    @property
    def last_run(self) -> str | None:
        """The last run of the portion, read where there is none; None at the end of the file."""
        while not len(self._run_ids):
            rows = next(self._portions, None)
            if rows is None:
                return None
            self._rows, self._run_ids = rows, pl.Series(rows["run_id"])
            self._check_order()
        return str(self._run_ids[-1])

    def take(self, end: str) -> pa.Table:
        """Return the rows of the portion up to the run `end`, which are then gone from it."""
        at = self._run_ids.search_sorted(end, side="right")
        taken = self._rows.slice(0, at)
        self._rows, self._run_ids = self._rows.slice(at), self._run_ids.slice(at)
        return taken

    def _check_order(self) -> None:
        if not len(self._run_ids):
            return
        ids = self._run_ids
        if (self._before and ids[0] <= self._before) or (ids[1:] <= ids[:-1]).any():
            raise NotMergeable(self._file, "its rows are not in the order of run_id")
        self._before = str(ids[-1])


def _newest(run_ids: pa.ChunkedArray) -> pa.Array:
    """Return where each run is first, in the order of the runs."""
    ids = pl.DataFrame({"run_id": pl.Series(run_ids)}).with_row_index("at")
    first = ids.unique("run_id", keep="first", maintain_order=True).sort("run_id")
    return first["at"].to_arrow()
