"""Folds by name: runfold's own, and others to replay a log with."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import polars as pl

from runfold.processors.fold import note_place
from runfold.processors.fold_columns import StateOf, fold_frame
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.event import EVENT_FIELDS, Event, LoggedEvent
from runfold.schemas.run_state import RunState

FoldFrame = Callable[[pl.DataFrame, StateOf], list[str]]
"""Folds events into the states of their runs; returns the runs that changed. See `fold_frame`."""
ApplyEvent = Callable[[RunState, LoggedEvent], None]
"""Changes a state by one event. See `fold.apply_event`."""

DEFAULT_FOLD = "default"


def find_fold(name: str) -> FoldFrame:
    """Return the fold of that name: `default`, or MODULE:FUNCTION of an `ApplyEvent`.

    Raises: ConfigurationError.
    """
    if name == DEFAULT_FOLD:
        return fold_frame
    module_name, colon, function_name = name.partition(":")
    if not colon:
        raise ConfigurationError(
            f"no fold {name!r}; there are {DEFAULT_FOLD} and your own as MODULE:FUNCTION"
        )
    try:
        apply_event = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"the fold {name!r} cannot be loaded: {error}") from error
    if not callable(apply_event):
        raise ConfigurationError(f"the fold {name!r} is no function")
    return _one_by_one(apply_event)


def _one_by_one(apply_event: ApplyEvent) -> FoldFrame:
    def fold_rows(frame: pl.DataFrame, state_of: StateOf) -> list[str]:
        changed: dict[str, None] = {}
        rows = frame.select(*EVENT_FIELDS, "offset", "recorded_at")
        for row in rows.iter_rows(named=True):
            offset, recorded_at = row.pop("offset"), row.pop("recorded_at")
            logged = LoggedEvent(Event(**row), offset, recorded_at)
            state = state_of(logged.event.run_id)
            apply_event(state, logged)
            if state.last_offset != offset:  # every state says up to where it is one
                note_place(state, logged)
            changed[logged.event.run_id] = None
        return list(changed)

    return fold_rows
