"""The events of several files as those of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from runfold.schemas.codec.arrow import lake_event_schema
from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.lake import FlushCounts
from runfold.schemas.offsets import OffsetRange, Tile
from runfold.sinks.compaction.plan import SizedFile
from runfold.sinks.compaction.sources import NotMergeable, portions, source_counts
from runfold.sinks.lake_files import LakeFile
from runfold.sinks.object_path import LakePath
from runfold.sinks.set_aside import reading

_BYTES_AT_ONCE = 8 * 1024 * 1024


class MergedEvents:
    """Gives the rows of one file after the other, in log order; `counts` are of those given."""

    def __init__(self, root: LakePath, tiles: Sequence[Tile[SizedFile]]) -> None:
        self.counts = FlushCounts()
        self._root = root
        self._tiles = tiles

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield all rows in portions. Raises: LakeUnavailable, LakeCorrupt, NotMergeable."""
        for tile in self._tiles:
            yield from self._rows_of(tile)

    def _rows_of(self, tile: Tile[SizedFile]) -> Iterator[pa.Table]:
        file = tile.source.file
        said = source_counts(self._root, file)
        held, wanted = FlushCounts(), FlushCounts()
        before = file.range.first - 1
        for rows in portions(self._root, file, lake_event_schema(), most_bytes=_BYTES_AT_ONCE):
            with reading(self._root, file):
                before = _last_offset(file, rows, before)
            held += _counts(rows)
            within = _within(rows, tile.range)
            wanted += _counts(within)
            yield within
        if (held.events, held.dead_letters) != (said.events, said.dead_letters):
            raise NotMergeable(file, f"it says that it has {said}, and has {held}")
        if tile.range == file.range:
            self.counts += said
        else:
            self.counts += _of_part(tile, said, wanted)


def _of_part(tile: Tile[SizedFile], said: FlushCounts, rows: FlushCounts) -> FlushCounts:
    """Return the counts of a part of a file that has these rows: what left none was a duplicate."""
    left = len(tile.range) - rows.records
    if said.expired or said.erased:
        raise NotMergeable(tile.source.file, "which of its records were removed is not known")
    if not said.lost:
        return rows + FlushCounts(left, 0, left, 0)
    if said.records:
        raise NotMergeable(tile.source.file, "which of its records were lost is not known")
    return FlushCounts(lost=left)


def _last_offset(file: LakeFile, rows: pa.Table, before: int) -> int:
    """Return the last offset of `rows`. Raises: LakeCorrupt where they are not in order."""
    if rows.num_rows == 0:
        return before
    offsets = pl.Series(rows["offset"])
    rising = bool((offsets[1:] > offsets[:-1]).all())
    if not rising or offsets[0] <= before or offsets[-1] > file.range.last:
        raise LakeCorrupt(f"{file.path}: its offsets are not those of its range, or not in order")
    return int(offsets[-1])


def _counts(rows: pa.Table) -> FlushCounts:
    events = rows["dead_letter_reason"].null_count
    return FlushCounts(rows.num_rows, events, 0, rows.num_rows - events)


def _within(rows: pa.Table, offsets: OffsetRange) -> pa.Table:
    if rows.num_rows == 0:
        return rows
    first, last = rows["offset"][0].as_py(), rows["offset"][-1].as_py()
    if first in offsets and last in offsets:
        return rows
    return rows.filter(
        pc.and_(
            pc.greater_equal(rows["offset"], offsets.first),
            pc.less_equal(rows["offset"], offsets.last),
        )
    )
