"""Folds of a user's own, for replays."""

from __future__ import annotations

from runfold.processors.fold import apply_event
from runfold.schemas.event import LoggedEvent
from runfold.schemas.run_state import RunState


def free_of_charge(state: RunState, logged: LoggedEvent) -> None:
    """Fold as runfold does, and charge nothing."""
    apply_event(state, logged)
    state.cost_nano_usd = 0


def events_only(state: RunState, logged: LoggedEvent) -> None:
    """Count events and know nothing else, not even where the run is in the log."""
    del logged
    state.events += 1
