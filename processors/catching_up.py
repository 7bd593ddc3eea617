"""Folding what the lake holds as events and not as states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from runfold.processors.run_table import RunTable
from runfold.schemas.codec.arrow import lake_event_schema
from runfold.schemas.lake import LakeStore
from runfold.schemas.offsets import OffsetRange

MOST_PENDING_RECORDS = 200_000


def catch_up(
    table: RunTable,
    lake: LakeStore,
    events_end: int,
    *,
    on_records: Callable[[int], None] = lambda _: None,
) -> None:
    """Fold the events of `lake` into `table` up to `events_end`, exclusive, and flush the states.

    Shape: `on_records` is told how many records more have been accounted for.
    Raises: LakeUnavailable, LakeCorrupt (retry).
    """
    if table.next_offset >= events_end:
        return
    for events in lake.events_of(table.log, OffsetRange(table.next_offset, events_end - 1)):
        if events.height:
            table.bring_back(lake.states_of(table.log, table.past_runs(events)))
            before = table.next_offset
            table.take_stored(events, events["offset"][-1] + 1)
            on_records(table.next_offset - before)
        if table.pending_records >= MOST_PENDING_RECORDS:
            flush_states(table, lake)
    # Behind the last event there may be dead letters and repeated events.
    table.take_stored(pl.DataFrame(lake_event_schema().empty_table()), events_end)
    flush_states(table, lake)


def flush_states(table: RunTable, lake: LakeStore) -> None:
    """Make what is pending durable as states alone: the lake has its events.

    Raises: LakeUnavailable (retry).
    """
    flush = table.pending()
    if flush is not None:
        lake.write(replace(flush, events=None))
        table.flushed(flush)
