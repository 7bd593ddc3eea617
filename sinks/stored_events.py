"""The events that the lake holds, read back in log order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa

from runfold.schemas.codec.arrow import lake_event_schema
from runfold.schemas.offsets import OffsetRange, tile
from runfold.sinks.lake_files import LakeFile
from runfold.sinks.object_path import LakePath
from runfold.sinks.parquet_reading import whole_parquet_file
from runfold.sinks.set_aside import reading


def events_in(
    root: LakePath, files: Iterable[LakeFile], offsets: OffsetRange
) -> Iterator[pl.DataFrame]:
    """Yield the events of `offsets` in log order, some 100,000 at a time, each once.

    Shape: columns of `lake_event_schema`; dead letters are left out.
    Raises: LakeUnavailable, LakeCorrupt.
    """
    for piece in tile(files).tiles:
        first = max(piece.range.first, offsets.first)
        last = min(piece.range.last, offsets.last)
        if first > last:
            continue
        for rows in _row_groups(root, piece.source):
            yield rows.filter(
                pl.col("offset").is_between(first, last) & pl.col("dead_letter_reason").is_null()
            )


def _row_groups(root: LakePath, file: LakeFile) -> Iterator[pl.DataFrame]:
    names = lake_event_schema().names
    empty = pl.DataFrame(lake_event_schema().empty_table())
    with reading(root, file), whole_parquet_file(file.path) as parquet:
        for group in range(parquet.num_row_groups):
            rows: pa.Table = parquet.read_row_group(group)
            yield pl.concat([empty, pl.DataFrame(rows)], how="diagonal").select(names)
