"""Taking a partition over: from the lake, the log, or the table that this worker still holds."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from runfold.processors.catching_up import catch_up
from runfold.processors.errors import lake_ahead, log_gone
from runfold.processors.fold_columns import fold_frame
from runfold.processors.folds import FoldFrame
from runfold.processors.run_table import RunTable
from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.lake import LakeStore
from runfold.schemas.offsets import LogPartition

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Folding:
    """How records become states."""

    framing: Framing = EVENT_FRAMING
    fold: FoldFrame = fold_frame


def resumed_table(
    place: LogPartition,
    held: RunTable | None,
    bounds: tuple[int, int],
    *,
    topic: str,
    lake: LakeStore,
    folding: Folding,
) -> RunTable:
    """Return a table that goes on with `place`, which `topic` is called.

    Shape: `bounds` are the first and the next offset of the log. The table that was held before
    goes on where it is, as long as the lake is not ahead of it: it is as right as any.
    Raises: LogGone (halt); LakeUnavailable, LakeCorrupt, LakeAhead (retry).
    """
    first, end = bounds
    point = lake.resume(place)
    if held is not None and held.next_offset >= (point.next_offset or 0):
        table = held
    elif point.next_offset is None:
        table = RunTable(place, first, framing=folding.framing, fold=folding.fold)
        if first > 0:
            log.warning("the log began before this lake", partition=place.partition, first=first)
    else:
        table = RunTable(
            place, point.next_offset, point.runs, framing=folding.framing, fold=folding.fold
        )
        if point.next_offset < first:
            # What the log no longer has, the lake may have as events whose states are missing.
            catch_up(table, lake, point.events_end or 0)
    if table.next_offset < first:
        raise log_gone(topic, place.partition, table.next_offset, first)
    if table.next_offset > end:
        raise lake_ahead(topic, place.partition, table.next_offset, end)
    return table
