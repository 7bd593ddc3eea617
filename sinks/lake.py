"""The lake: events and states as Parquet files, by offset range, on a disk or in a bucket."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from operator import attrgetter

import polars as pl
import pyarrow as pa

from runfold.schemas.codec.arrow import lake_event_schema, states_to_table
from runfold.schemas.errors import StatesSwitched
from runfold.schemas.lake import (
    CompactionCounts,
    Flush,
    FlushCounts,
    LogDescription,
    ResumePoint,
)
from runfold.schemas.offsets import LogPartition, OffsetRange, tile
from runfold.schemas.run_state import RunState
from runfold.sinks.compaction.compactor import Compactor
from runfold.sinks.compaction.vacuum import GRACE
from runfold.sinks.file_labels import labels
from runfold.sinks.lake_errors import lake_errors, listing_again
from runfold.sinks.lake_files import (
    HOUR_US,
    Kind,
    LakeFile,
    file_name,
    hour_folder,
    list_files,
    topic_folder,
)
from runfold.sinks.log_description import describe
from runfold.sinks.object_path import LakePath
from runfold.sinks.parquet_writers import (
    EVENTS_A_GROUP,
    STATES_A_GROUP,
    ZSTD_LEVEL,
    states_writer,
)
from runfold.sinks.resuming import resume_point
from runfold.sinks.state_sets import find_set, serving_set, states_root
from runfold.sinks.storage import write_file
from runfold.sinks.stored_events import events_in
from runfold.sinks.stored_states import newest_states
from runfold.sinks.views import prepare_lake


class LocalLake:
    """A `LakeStore` over a folder or a bucket. Safe for several processes at once."""

    def __init__(
        self, root: LakePath, grace: timedelta = GRACE, *, replay: str | None = None
    ) -> None:
        """Open the lake in `root`, or make one.

        Shape: files that were merged are kept for `grace`, for queries that had chosen them. With
        `replay` it holds the states of that set, and its events are only read.
        Raises: LakeUnavailable, ConfigurationError.
        """
        self.root = root
        self.states = serving_set(root) if replay is None else find_set(root, replay)
        """The set whose states this holds."""
        self._events_are_written = replay is None
        self._states_root = states_root(root, self.states.name)
        self._compactors = [Compactor(each, grace, lake=root) for each in {root, self._states_root}]
        prepare_lake(root)

    def describe(self, log: LogDescription) -> LogDescription:
        """Note what `log` is, once. See `LakeStore.describe`."""
        return describe(self.root, log)

    def write(self, flush: Flush) -> None:
        """Make `flush` durable: events first, then states. See `LakeStore.write`."""
        if self._events_are_written:
            self._check_serving()
            if flush.events is not None:
                self._write_events(flush, flush.events)
        said = labels(Kind.STATES, flush.log, flush.range, flush.counts)
        folder = topic_folder(self._states_root, flush.log.topic_id) / Kind.STATES
        name = file_name(flush.log.partition, flush.range)
        write_file(folder / name, _states_file(flush.states, said))

    def _write_events(self, flush: Flush, events: pl.DataFrame) -> None:
        folder = topic_folder(self.root, flush.log.topic_id) / Kind.EVENTS
        pieces = list(_by_hour(flush, events))
        for piece, counts in zip(pieces, _counts_by_piece(flush, pieces), strict=True):
            hour, offsets, rows = piece
            name = file_name(flush.log.partition, offsets)
            content = _events_file(rows, labels(Kind.EVENTS, flush.log, offsets, counts))
            write_file(folder / hour / name, content)

    def resume(self, log: LogPartition) -> ResumePoint:
        """Return where `log` is to be continued. See `LakeStore.resume`."""
        return resume_point(self.root, self._states_root, log)

    def states_of(self, log: LogPartition, runs: Mapping[str, int]) -> list[RunState]:
        """Return the newest states of `runs`. See `LakeStore.states_of`."""

        def look_up() -> list[RunState]:
            return newest_states(self._states_root, self._files(log, Kind.STATES), runs)

        return listing_again(look_up)

    def events_of(self, log: LogPartition, offsets: OffsetRange) -> Iterator[pl.DataFrame]:
        """Yield the events of `offsets`. See `LakeStore.events_of`."""
        return events_in(self.root, self._files(log, Kind.EVENTS), offsets)

    def unfilled(self, log: LogPartition, log_first: int) -> list[OffsetRange]:
        """Return the offsets that neither the lake's events nor the log, from `log_first`, hold.

        Shape: none where the lake holds nothing of `log`, since it then begins where the log does.
        Raises: LakeUnavailable.
        """
        held = tile(self._files(log, Kind.EVENTS))
        if not held.tiles:
            return []
        end = held.tiles[-1].range.next_offset
        behind = [OffsetRange(end, log_first - 1)] if end < log_first else []
        gone = OffsetRange(0, max(log_first - 1, 0))
        cut_off = (hole.intersection(gone) for hole in held.holes) if log_first else ()
        return [*(hole for hole in cut_off if hole is not None), *behind]

    def accept_loss(self, log: LogPartition, offsets: OffsetRange) -> None:
        """Note that the records of `offsets` are lost, so that workers go on behind them.

        It is counted as `lost` in the file of that range, which holds no rows.
        Delivery: safe to repeat. Raises: LakeUnavailable.
        """
        counts = FlushCounts(lost=len(offsets))
        nothing = pl.DataFrame(lake_event_schema().empty_table())
        now_us = time.time_ns() // 1000
        self._write_events(Flush(log, offsets, nothing, [], counts, now_us), nothing)

    def compact(
        self, log: LogPartition, *, stopped: Callable[[], bool] = lambda: False
    ) -> CompactionCounts:
        """Merge the files of `log`, remove those merged a while ago. See `LakeStore.compact`."""
        counts = CompactionCounts()
        for each in self._compactors:
            counts += each.compact(log, stopped=stopped)
        return counts

    def _files(self, log: LogPartition, kind: Kind) -> list[LakeFile]:
        root = self.root if kind is Kind.EVENTS else self._states_root
        with lake_errors(root, "list"):
            return list_files(root, log, kind)

    def _check_serving(self) -> None:
        serving = serving_set(self.root)
        if serving != self.states:
            raise StatesSwitched(f"{serving.name!r} serves now, not {self.states.name!r}")


_Piece = tuple[str, OffsetRange, pl.DataFrame]


def _by_hour(flush: Flush, events: pl.DataFrame) -> Iterator[_Piece]:
    """Yield the hour folder, the offsets and the rows of each piece that `flush` is cut into."""
    if events.is_empty():
        yield hour_folder(flush.recorded_at_us), flush.range, events
        return
    hours = events["recorded_at"].to_physical() // HOUR_US
    hours = hours.cum_max()  # a clock that goes back must not make a file of each record
    changed = (hours != hours.shift(1)).fill_null(False).arg_true().to_list()
    starts = [0, *changed]
    offsets = events["offset"]
    firsts = [flush.range.first, *(offsets[start] for start in changed)]
    ends = [*changed, events.height]
    lasts = [*(first - 1 for first in firsts[1:]), flush.range.last]
    for start, end, first, last in zip(starts, ends, firsts, lasts, strict=True):
        rows = events.slice(start, end - start)
        yield hour_folder(hours[start] * HOUR_US), OffsetRange(first, last), rows


def _counts_by_piece(flush: Flush, pieces: list[_Piece]) -> Iterator[FlushCounts]:
    """Yield what became of the records of each piece; together it is what the worker counted.

    The last one takes what is left of the worker's counts, and not what its rows are: a row that
    is lost before it is written must not pass for a duplicate.
    """
    left = flush.counts
    for _, offsets, rows in pieces[:-1]:
        dead = rows.height - rows["dead_letter_reason"].null_count()
        duplicates = min(len(offsets) - rows.height, left.duplicates)
        counts = FlushCounts(rows.height + duplicates, rows.height - dead, duplicates, dead)
        left -= counts
        yield counts
    yield left


def _events_file(rows: pl.DataFrame, said: dict[str, str]) -> memoryview:
    stream = io.BytesIO()
    rows.write_parquet(
        stream,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        row_group_size=EVENTS_A_GROUP,
        metadata=said,
    )
    return stream.getbuffer()


def _states_file(states: list[RunState], said: dict[str, str]) -> memoryview:
    table = states_to_table(sorted(states, key=attrgetter("run_id")))  # whoever writes: one content
    stream = pa.BufferOutputStream()
    with states_writer(stream) as writer:
        writer.add_key_value_metadata(said)
        writer.write_table(table, row_group_size=STATES_A_GROUP)
    return memoryview(stream.getvalue())
