"""The events that the lake holds, read back in log order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl
import pyarrow as pa

from runfold.schemas.codec.arrow import lake_event_schema
from runfold.schemas.errors import EventsExpired
from runfold.schemas.offsets import OffsetRange, tile
from runfold.sinks.lake_files import LakeFile, is_remains
from runfold.sinks.object_path import LakePath
from runfold.sinks.parquet_reading import whole_parquet_file
from runfold.sinks.set_aside import reading


def events_in(
    root: LakePath, files: Iterable[LakeFile], offsets: OffsetRange
) -> Iterator[pl.DataFrame]:
    """Yield the events of `offsets` in log order, some 100,000 at a time, each once.

    Shape: columns of `lake_event_schema`; dead letters are left out.
    Raises: LakeUnavailable, LakeCorrupt; EventsExpired where some were removed by age.
    """
    for piece in tile(files).tiles:
        first = max(piece.range.first, offsets.first)
        last = min(piece.range.last, offsets.last)
        if first > last:
            continue
        if is_remains(piece.source):
            log = piece.source.log
            raise EventsExpired(
                f"partition {log.partition} of {log.topic_id}: events of offsets {first}-{last} "
                "were removed by age, so no states can be made of them; restore a backup"
            )
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
