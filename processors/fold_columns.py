"""The same fold, a batch of columns at a time.

What events add up to is summed for each run by polars, and only the sums touch Python; the few
events that say something of the run itself go through `fold` one by one. A property test holds
this against `fold` event by event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from runfold.processors.fold import (
    KNOWN_TYPES,
    LIFECYCLE_TYPES,
    SAID_FIELDS,
    apply_event,
    apply_lifecycle,
    note_error,
    note_metric,
    note_tool,
)
from runfold.schemas.event import EVENT_FIELDS, Event, LoggedEvent
from runfold.schemas.run_state import (
    MOST_TOKENS,
    MOST_USD,
    NANO_USD,
    PROFILE_FIELDS,
    TOKEN_FIELDS,
    MetricValue,
    RunState,
    Stamp,
)
from runfold.schemas.vocabulary import BLANKS, FAILED_TOOL_STATUSES, EventType, statuses_spelled

StateOf = Callable[[str], RunState]
"""Gives the state of a run to change; a new one where nothing is known of the run."""

_TOOL_TYPES = [EventType.TOOL_STARTED.value, EventType.TOOL_ENDED.value]
_FAILED_SPELLINGS = sorted(
    spelling for status in FAILED_TOOL_STATUSES for spelling in statuses_spelled(status)
)
_IS_LIFECYCLE = pl.col("event_type").is_in(sorted(LIFECYCLE_TYPES))
_IS_START = pl.col("event_type") == EventType.RUN_STARTED.value
_BY_TIME = ("occurred_at", "offset")


def fold_frame(frame: pl.DataFrame, state_of: StateOf) -> list[str]:
    """Fold events into the states of their runs; return the ids of the runs that changed.

    Shape: `frame` has the event columns, with `occurred_at` and `recorded_at` as whole
    microseconds, and `offset`; it is in log order and holds no event twice.
    """
    if frame.is_empty():
        return []
    lifecycle = frame.filter(_IS_LIFECYCLE)
    intricate = _runs_started_again(lifecycle, state_of)
    if intricate:
        alone = pl.col("run_id").is_in(intricate)
        _fold_one_by_one(frame.filter(alone), state_of)
        frame, lifecycle = frame.filter(~alone), lifecycle.filter(~alone)
    changed = _add_sums(frame, state_of)
    _fill_profiles(frame.filter(~_IS_START), ("project",), state_of)
    _apply_lifecycle(lifecycle, state_of)
    others = frame.filter(~_IS_LIFECYCLE)
    _fill_profiles(others, PROFILE_FIELDS, state_of)
    _note_tools(others, state_of)
    _note_errors(others, state_of)
    _note_metrics(others, state_of)
    return intricate + changed


def _runs_started_again(lifecycle: pl.DataFrame, state_of: StateOf) -> list[str]:
    """Return the runs with a second `run.started`, which only fills gaps, in log order."""
    starts = lifecycle.filter(_IS_START)
    counted = starts.group_by("run_id").len()
    return [
        run_id
        for run_id, count in counted.iter_rows()
        if count > 1 or state_of(run_id).started_at is not None
    ]


def _fold_one_by_one(frame: pl.DataFrame, state_of: StateOf) -> None:
    for logged in _events(frame):
        apply_event(state_of(logged.event.run_id), logged)


def _events(frame: pl.DataFrame) -> list[LoggedEvent]:
    names = [*EVENT_FIELDS, "offset", "recorded_at"]
    return [
        LoggedEvent(Event(**dict(zip(EVENT_FIELDS, row, strict=False))), row[-2], row[-1])
        for row in frame.select(names).iter_rows()
    ]


def _apply_lifecycle(lifecycle: pl.DataFrame, state_of: StateOf) -> None:
    names = [name for name in SAID_FIELDS if lifecycle[name].null_count() < lifecycle.height]
    rows = lifecycle.select("run_id", "event_type", *_BY_TIME, *names)
    for run_id, kind, occurred_at, offset, *values in rows.iter_rows():
        said = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        apply_lifecycle(state_of(run_id), kind, Stamp(occurred_at, offset), said)


def _add_sums(frame: pl.DataFrame, state_of: StateOf) -> list[str]:
    sums = _sums(frame)
    names = list(sums)
    groups = frame.group_by("run_id", maintain_order=True).agg(
        pl.len(),
        pl.col("occurred_at").min().alias("earliest"),
        pl.col("occurred_at").max().alias("latest"),
        pl.col("offset").first().alias("first_offset"),
        pl.col("offset").last().alias("last_offset"),
        pl.col("recorded_at").first().alias("first_recorded_at"),
        pl.col("recorded_at").last().alias("last_recorded_at"),
        *(expression.alias(name) for name, expression in sums.items()),
    )
    changed: list[str] = []
    for row in groups.iter_rows():
        run_id, count, earliest, latest, first_offset, last_offset, first_at, last_at = row[:8]
        state = state_of(run_id)
        changed.append(run_id)
        state.events += count
        if state.first_offset < 0:
            state.first_offset = first_offset
            state.first_recorded_at = first_at
        state.last_offset = last_offset
        state.last_recorded_at = last_at
        if state.first_seen_at is None or earliest < state.first_seen_at:
            state.first_seen_at = earliest
        if state.last_seen_at is None or latest > state.last_seen_at:
            state.last_seen_at = latest
        for name, amount in zip(names, row[8:], strict=True):
            if amount:
                setattr(state, name, getattr(state, name) + amount)
    return changed


_COUNTERS: dict[str, str] = {
    "tools_started": EventType.TOOL_STARTED.value,
    "tools_ended": EventType.TOOL_ENDED.value,
    "llm_calls": EventType.LLM_CALLED.value,
    "decisions": EventType.DECISION_MADE.value,
    "errors": EventType.ERROR_RAISED.value,
    "heartbeats": EventType.RUN_HEARTBEAT.value,
}


def _sums(frame: pl.DataFrame) -> dict[str, pl.Expr]:
    """Return what is to be summed in this batch, by field; what it has none of is left out."""
    kinds = set(frame["event_type"].unique().to_list())
    kind = pl.col("event_type")
    sums: dict[str, pl.Expr] = {
        name: (kind == value).sum() for name, value in _COUNTERS.items() if value in kinds
    }
    if EventType.TOOL_ENDED.value in kinds:
        failed = (
            pl.col("status").str.strip_chars(BLANKS).str.to_lowercase().is_in(_FAILED_SPELLINGS)
        )
        sums["tools_failed"] = ((kind == EventType.TOOL_ENDED.value) & failed).sum()
    if kinds - KNOWN_TYPES:
        sums["unknown_events"] = (~kind.is_in(sorted(KNOWN_TYPES))).sum()
    for name in TOKEN_FIELDS:
        if frame[name].null_count() < frame.height:
            tokens = pl.col(name)
            sums[name] = tokens.filter(tokens.is_between(-MOST_TOKENS, MOST_TOKENS)).sum()
    if frame["cost_usd"].null_count() < frame.height:
        cost = pl.col("cost_usd")
        nano = (cost.filter(cost.is_between(-MOST_USD, MOST_USD)) * NANO_USD + 0.5).floor()
        sums["cost_nano_usd"] = nano.cast(pl.Int64).sum()
    return sums


def _fill_profiles(frame: pl.DataFrame, names: Sequence[str], state_of: StateOf) -> None:
    """Take of each run the first values that events name, where nothing is known of it yet."""
    said = [name for name in names if frame[name].null_count() < frame.height]
    if not said:
        return
    firsts = frame.group_by("run_id").agg(pl.col(said).drop_nulls().first())
    for run_id, *values in firsts.iter_rows():
        state = state_of(run_id)
        for name, value in zip(said, values, strict=True):
            if value is not None and getattr(state, name) is None:
                setattr(state, name, value)


def _latest(frame: pl.DataFrame, keys: list[str], wanted: list[str]) -> list[tuple[Any, ...]]:
    """Return for each key the row that is latest by event time, then by log order."""
    if frame.is_empty():
        return []
    if not frame["occurred_at"].is_sorted():
        frame = frame.sort(_BY_TIME)
    ordered = frame.group_by(keys).agg(pl.col(*wanted, *_BY_TIME).last())
    return ordered.rows()


def _note_tools(others: pl.DataFrame, state_of: StateOf) -> None:
    tools = others.filter(pl.col("event_type").is_in(_TOOL_TYPES))
    for run_id, name, kind, occurred_at, offset in _latest(
        tools, ["run_id"], ["tool_name", "event_type"]
    ):
        is_open = kind == EventType.TOOL_STARTED.value
        note_tool(state_of(run_id), name, is_open, Stamp(occurred_at, offset))


def _note_errors(others: pl.DataFrame, state_of: StateOf) -> None:
    errors = others.filter(pl.col("event_type") == EventType.ERROR_RAISED.value)
    for run_id, error_type, message, occurred_at, offset in _latest(
        errors, ["run_id"], ["error_type", "error_message"]
    ):
        note_error(state_of(run_id), error_type, message, Stamp(occurred_at, offset))


def _note_metrics(others: pl.DataFrame, state_of: StateOf) -> None:
    metrics = others.filter(pl.col("event_type") == EventType.METRIC_RECORDED.value)
    for run_id, name, value, unit, occurred_at, offset in _latest(
        metrics.with_columns(pl.col("name").fill_null("")), ["run_id", "name"], ["value", "unit"]
    ):
        stamp = Stamp(occurred_at, offset)
        note_metric(state_of(run_id), name, MetricValue(value, unit, stamp))
