"""Hypothesis strategies for events, made so that they collide: few runs, few ids, few times."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import strategies as st

from runfold.schemas.event import EVENT_FIELDS, Event, LoggedEvent
from runfold.schemas.run_state import PROFILE_FIELDS, TOKEN_FIELDS
from runfold.schemas.vocabulary import EventType

_WORDS = st.sampled_from(["", "a", "b", "ü", "long " * 9])
_STATUSES = st.sampled_from(
    ["success", "failed", " Failure\n", "running", "pending", "timeout", "canceled", "odd", ""]
)
_TIMES = st.integers(0, 6).map(lambda n: 1_763_000_000_000_000 + n)
_PRODUCERS = ["rf00000000000000000001.1", "rf00000000000000000002", "elsewhere"]
_ATTRIBUTES = st.sampled_from(
    ['{"a":1}', '{"a":2,"b":[1]}', '{"b":null}', "[1]", "no json", '{"c":{"d":"ü"}}', ""]
)
_COSTS = st.one_of(
    st.floats(-1, 10), st.sampled_from([float("nan"), float("inf"), -1e300, 0.1, 0.2, 1e5])
)
_COUNTS = st.one_of(st.integers(0, 1000), st.sampled_from([-5, 2**62, -(2**62), 10**12]))


def _field(name: str) -> st.SearchStrategy[Any]:
    if name in TOKEN_FIELDS or name.startswith("items_"):
        return _COUNTS
    if name in {"cost_usd", "value", "duration_ms"}:
        return _COSTS
    if name == "status":
        return _STATUSES
    return _ATTRIBUTES if name == "attributes" else _WORDS


_OPTIONAL = {name: _field(name) for name in EVENT_FIELDS[4:]}
_OFTEN = ("status", "tool_name", "attributes", "input_tokens", "cost_usd", "error_type", "name")


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Draw one event of one of two runs."""
    kinds = [*EventType, "made.up", EventType.RUN_STARTED, EventType.RUN_UPDATED]
    names = draw(st.sets(st.sampled_from([*PROFILE_FIELDS, *_OFTEN, "value", "unit"]), max_size=8))
    return Event(
        event_id=f"{draw(st.sampled_from(_PRODUCERS))}-{draw(st.integers(1, 12))}",
        run_id=draw(st.sampled_from(["run-1", "run-2"])),
        event_type=str(draw(st.sampled_from(kinds))),
        occurred_at=draw(_TIMES),
        **{name: draw(_OPTIONAL[name]) for name in sorted(names)},
    )


@st.composite
def telling_events(draw: st.DrawFn) -> Event:
    """Draw an event of one run that contradicts others: what a fold's precedence is about."""
    said = ["agent_name", "status", "error_type", "error_message"]
    names = draw(st.sets(st.sampled_from(said), min_size=2))
    return Event(
        event_id=f"{draw(st.sampled_from(_PRODUCERS))}-{draw(st.integers(1, 99))}",
        run_id="run-1",
        event_type=draw(st.sampled_from(_TELLING)),
        occurred_at=draw(_TIMES),
        tool_name=draw(_WORDS),
        **{name: draw(_OPTIONAL[name]) for name in sorted(names)},
    )


_TELLING = [
    *("run.started", "run.updated", "run.ended", "commit.associated"),
    *("tool.started", "tool.ended", "error.raised", "custom"),
]


@st.composite
def logs(
    draw: st.DrawFn,
    min_size: int = 0,
    max_size: int = 25,
    of: st.SearchStrategy[Event] | None = None,
) -> list[LoggedEvent]:
    """Draw a log of events with gaps between its offsets; ids repeat."""
    logged: list[LoggedEvent] = []
    offset, recorded_at = draw(st.integers(0, 5)), 1_763_000_000_000_000
    every = events() if of is None else of
    for event in draw(st.lists(every, min_size=min_size, max_size=max_size)):
        logged.append(LoggedEvent(event, offset, recorded_at))
        offset += draw(st.integers(1, 3))
        recorded_at += draw(st.integers(0, 2)) * 1000
    return logged


_FRAME_SCHEMA: dict[str, Any] = {
    name: (
        pl.Int64
        if name == "occurred_at" or name in TOKEN_FIELDS or name.startswith("items_")
        else pl.Float64
        if name in {"cost_usd", "value", "duration_ms"}
        else pl.String
    )
    for name in EVENT_FIELDS
} | {"offset": pl.Int64, "recorded_at": pl.Int64}


def frame_of(log: list[LoggedEvent]) -> pl.DataFrame:
    """Return logged events as the columns that the worker folds."""
    rows = [
        [*(getattr(each.event, name) for name in EVENT_FIELDS), each.offset, each.recorded_at]
        for each in log
    ]
    return pl.DataFrame(rows, schema=_FRAME_SCHEMA, orient="row")
