"""Where the present task or thread works: in which run, and in which piece of work of that run.

Tasks inherit their place from the task that begins them, as they inherit all context variables.
Threads inherit nothing; `in_this_run` takes a place along.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token, copy_context
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")


class Place(NamedTuple):
    """A run, its trace, and the span in it that is open; None where that is the run itself."""

    run_id: str
    trace_id: str
    span_id: str | None = None


current_run: ContextVar[str | None] = ContextVar("runfold_current_run", default=None)
"""The id of the run that the present task or thread works in."""

current_place: ContextVar[Place | None] = ContextVar("runfold_current_place", default=None)
"""More of the same, where a `with` block of ours was entered; of another run it tells nothing."""


def enclosing_span(run_id: object) -> str | None:
    """Return the span of `run_id` that is open here."""
    place = current_place.get()
    return place.span_id if place is not None and is_in(place, run_id) else None


def is_in(place: Place, run_id: object) -> bool:
    """Say whether `place` is in that run, also where `run_id` is an object that cannot be asked."""
    return type(run_id) is str and place.run_id == run_id


class Scope:
    """Makes `place` the current one between `enter` and `leave`, which may be called in turns.

    What a block has made the current place itself is current again when it is entered again, as a
    generator's is between two of its items.
    """

    __slots__ = ("_outer", "_place", "_run_id")

    def __init__(self, place: Place) -> None:
        self._run_id: str | None = place.run_id
        self._place: Place | None = place
        self._outer: tuple[Token[str | None], Token[Place | None]] | None = None

    def enter(self) -> None:
        """Make it current."""
        self._outer = current_run.set(self._run_id), current_place.set(self._place)

    def leave(self) -> None:
        """Make current what was so before `enter`, also where that was in another context."""
        if self._outer is None:
            return
        self._run_id, self._place = current_run.get(), current_place.get()
        (run, place), self._outer = self._outer, None
        try:
            current_run.reset(run)
            current_place.reset(place)
        except ValueError:  # another context, as a generator's may be that was closed elsewhere
            current_run.set(_before(run))
            current_place.set(_before(place))


def _before(token: Token[_T | None]) -> _T | None:
    return None if token.old_value is Token.MISSING else token.old_value


def in_this_run(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return `function` bound to the run that is the current one now, for another thread.

    Shape: `executor.submit(in_this_run(work), page)`. Each call gets a copy of the context, so one
    bound function may run in many threads at once.
    """
    context = copy_context()

    @wraps(function)
    def bound(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return context.copy().run(function, *args, **kwargs)

    return bound
