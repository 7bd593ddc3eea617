"""The lake on a local disk: events and states as Parquet files, by offset range."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from runfold.schemas.codec.arrow import lake_state_schema, states_from_table, states_to_table
from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.lake import Flush, FlushCounts, ResumePoint
from runfold.schemas.offsets import LogPartition, OffsetRange, tile
from runfold.schemas.run_state import RunState
from runfold.sinks.durable_files import lake_errors, write_file
from runfold.sinks.lake_files import (
    HOUR_US,
    Kind,
    LakeFile,
    file_name,
    hour_folder,
    list_files,
    topic_folder,
)
from runfold.sinks.views import prepare_lake

_ZSTD_LEVEL = 1
_ROWS_A_GROUP = 100_000


class LocalLake:
    """A `LakeStore` over a folder. Safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        """Open the lake in `root`, or make one. Raises: LakeUnavailable."""
        self.root = root
        prepare_lake(root)

    def write(self, flush: Flush) -> None:
        """Make `flush` durable: events first, then states. See `LakeStore.write`."""
        folder = topic_folder(self.root, flush.log.topic_id)
        for hour, offsets, rows in _by_hour(flush):
            name = file_name(flush.log.partition, offsets)
            counts = _row_counts(rows)
            content = _events_file(rows, _labels(flush.log, offsets, counts))
            write_file(folder / Kind.EVENTS / hour / name, content)
        name = file_name(flush.log.partition, flush.range)
        labels = _labels(flush.log, flush.range, flush.counts)
        write_file(folder / Kind.STATES / name, _states_file(flush.states, labels))

    def resume(self, log: LogPartition) -> ResumePoint:
        """Return where `log` is to be continued. See `LakeStore.resume`."""
        with lake_errors(self.root, "list"):
            events = list_files(self.root, log, Kind.EVENTS)
            states = list_files(self.root, log, Kind.STATES)
        if not events:
            return ResumePoint(None, None, iter(()))
        first = min(each.range.first for each in events)
        covered = tile(events).contiguous_from(first)
        usable = [each for each in states if each.range.last < covered]
        tiling = tile(usable)
        end = tiling.contiguous_from(first)
        chosen = [each.source for each in tiling.tiles if each.range.last < end]
        return ResumePoint(first, end, _newest_states(chosen))


def _by_hour(flush: Flush) -> Iterator[tuple[str, OffsetRange, pl.DataFrame]]:
    """Yield the hour folder, the offsets and the rows of each piece that `flush` is cut into."""
    if flush.events.is_empty():
        yield hour_folder(flush.recorded_at_us), flush.range, flush.events
        return
    hours = flush.events["recorded_at"].dt.timestamp("us") // HOUR_US
    changed = (hours != hours.shift(1)).fill_null(False).arg_true().to_list()
    starts = [0, *changed]
    offsets = flush.events["offset"]
    firsts = [flush.range.first, *(offsets[start] for start in changed)]
    ends = [*changed, flush.events.height]
    lasts = [*(first - 1 for first in firsts[1:]), flush.range.last]
    for start, end, first, last in zip(starts, ends, firsts, lasts, strict=True):
        rows = flush.events.slice(start, end - start)
        yield hour_folder(hours[start] * HOUR_US), OffsetRange(first, last), rows


def _row_counts(rows: pl.DataFrame) -> FlushCounts:
    dead = rows.height - rows["dead_letter_reason"].null_count()
    return FlushCounts(rows.height, rows.height - dead, 0, dead)


def _labels(log: LogPartition, offsets: OffsetRange, counts: FlushCounts) -> dict[str, str]:
    return {
        "runfold.topic_id": log.topic_id,
        "runfold.partition": str(log.partition),
        "runfold.first_offset": str(offsets.first),
        "runfold.last_offset": str(offsets.last),
        "runfold.records": str(counts.records),
        "runfold.events": str(counts.events),
        "runfold.duplicates": str(counts.duplicates),
        "runfold.dead_letters": str(counts.dead_letters),
    }


def _events_file(rows: pl.DataFrame, labels: dict[str, str]) -> memoryview:
    stream = io.BytesIO()
    rows.write_parquet(
        stream,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        row_group_size=_ROWS_A_GROUP,
        metadata=labels,
    )
    return stream.getbuffer()


def _states_file(states: list[RunState], labels: dict[str, str]) -> memoryview:
    table = states_to_table(states)
    metadata = {key.encode(): value.encode() for key, value in labels.items()}
    stream = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        stream,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        row_group_size=_ROWS_A_GROUP,
    )
    return memoryview(stream.getvalue())


def _newest_states(files: list[LakeFile]) -> Iterator[RunState]:
    """Yield for each run its state in the last of `files` that has it."""
    seen: set[str] = set()
    for each in sorted(files, key=lambda file: -file.range.last):
        table = _read_states(each)
        fresh = [run_id not in seen for run_id in table["run_id"].to_pylist()]
        for state in states_from_table(table.filter(pa.array(fresh, pa.bool_()))):
            seen.add(state.run_id)
            yield state


def _read_states(file: LakeFile) -> pa.Table:
    try:
        with lake_errors(file.path, "read"):
            opened = pq.ParquetFile(file.path)
        labels = opened.metadata.metadata or {}
        said = (labels.get(b"runfold.topic_id"), labels.get(b"runfold.first_offset"),
                labels.get(b"runfold.last_offset"))  # fmt: skip
        offsets = file.range
        named = (file.log.topic_id.encode(), str(offsets.first).encode(), str(offsets.last).encode())
        if said != named:
            raise LakeCorrupt(f"{file.path}: the file says that it holds {said}, not {named}")
        return opened.read().select(lake_state_schema().names).cast(lake_state_schema())
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
        raise LakeCorrupt(f"{file.path}: {error}") from error
