"""Bugs to plant into the code under test, for whoever claims to find them.

Which events are hit follows from their ids, so that a worker that does the work of another one
again makes the same mistake.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from runfold.processors import fold_columns
from runfold.schemas.codec import columns
from runfold.schemas.codec.columns import DecodedBatch
from runfold.schemas.lake import Flush, FlushCounts
from runfold.schemas.offsets import OffsetRange
from runfold.sinks import lake

_SEED = 4


def drop(patch: pytest.MonkeyPatch, rate: int) -> None:
    """Lose one event in `rate` between decoding and folding."""
    decode = columns.decode_event_batch

    def lossy(*arguments: Any) -> DecodedBatch:
        decoded = decode(*arguments)
        return replace(decoded, frame=decoded.frame.filter(~_hit(rate)))

    for module in _modules_with("decode_event_batch"):
        patch.setattr(module, "decode_event_batch", lossy)


def twice(patch: pytest.MonkeyPatch, rate: int) -> None:
    """Count one event in `rate` twice in the state of its run."""
    add_sums = fold_columns._add_sums

    def doubling(frame: pl.DataFrame, state_of: fold_columns.StateOf) -> list[str]:
        changed = add_sums(frame, state_of)
        again = frame.filter(_hit(rate))
        if again.height:
            add_sums(again, state_of)
        return changed

    patch.setattr(fold_columns, "_add_sums", doubling)


def short_range(patch: pytest.MonkeyPatch, rate: int) -> None:
    """Write one flush in `rate` as if it ended a record earlier than it does."""
    write = lake.LocalLake.write
    flushes = count(1)

    def shortened(self: lake.LocalLake, flush: Flush) -> None:
        hit = next(flushes) % rate == 0
        write(self, _shortened(flush) if hit and len(flush.range) > 1 else flush)

    patch.setattr(lake.LocalLake, "write", shortened)


def _shortened(flush: Flush) -> Flush:
    if flush.events is None:
        return flush
    offsets = OffsetRange(flush.range.first, flush.range.last - 1)
    rows = flush.events.filter(pl.col("offset") <= offsets.last)
    cut = flush.events.height - rows.height
    lost = FlushCounts(1, cut, 1 - cut, 0)
    return replace(flush, range=offsets, events=rows, counts=flush.counts - lost)


def short_rows(patch: pytest.MonkeyPatch, rate: int) -> None:
    """Leave a row out of one events file in `rate`, which says that it has all."""
    events_file = lake._events_file
    written = count(1)

    def lossy(rows: pl.DataFrame, said: dict[str, str]) -> memoryview:
        hit = next(written) % rate == 0
        return events_file(rows.head(-1) if hit and rows.height > 1 else rows, said)

    patch.setattr(lake, "_events_file", lossy)


PLANTS: dict[str, Callable[[pytest.MonkeyPatch, int], None]] = {
    "drop": drop,
    "twice": twice,
    "short-range": short_range,
    "short-rows": short_rows,
}

FOUND_AS = {
    "drop": {"records_short"},
    "twice": {"state_differs"},
    # A worker that starts anew fills the hole, without the event that the states have already.
    "short-range": {"hole", "state_differs"},
    "short-rows": {"rows_and_label"},
}
"""What `runfold audit` is to find of each: one of these."""


def hit_ids(event_ids: pl.Series, rate: int) -> set[str]:
    """Return the ids of the events that `drop` and `twice` hit at that rate."""
    return set(event_ids.to_frame("event_id").filter(_hit(rate))["event_id"])


def _hit(rate: int) -> pl.Expr:
    return pl.col("event_id").hash(_SEED) % rate == 0


def _modules_with(name: str) -> list[ModuleType]:
    ours = [module for key, module in sys.modules.items() if key.startswith("runfold.")]
    return [module for module in ours if hasattr(module, name)]
