"""Which run of the log a stored record belongs to.

The old run ids are not unique: several runs may share one, and only `event_id` tells them apart.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from runfold.producers.importers.local_telemetry.rows import EVENT_ID_PREFIX, StoredRun
from runfold.producers.local_telemetry_fields import name_beside
from runfold.producers.tame import is_id, tame_id


class RunKey(NamedTuple):
    """What tells a run from others. Shape: `identity` is None where nobody has told it."""

    run_id: str
    identity: str | None


class Start(NamedTuple):
    """The event that started a run of the lake, and the old `event_id` that the run names."""

    event_id: str
    identity: str | None


StartLookup = Callable[[Collection[str]], Mapping[str, Start]]
"""Returns for each of some runs that the lake holds how it was started."""


class RunNames:
    """Names runs: the first of a run id by its id, others `<run id>~<8 digits>`.

    Shape: a name is never given to two runs, also not where another import gave it, or runfold's
    own client. Memory: one entry for each run that is noted.
    """

    def __init__(self, starts: StartLookup) -> None:
        self._starts = starts
        self._runs_of: dict[str, list[tuple[int, str]]] = {}

    def note(self, run: StoredRun) -> None:
        """Take in that a run has its run id, before any run is named."""
        runs = self._runs_of.setdefault(run.run_id, [])
        if all(identity != run.identity for _, identity in runs):
            insort(runs, (run.started_at, run.identity))

    def key_at(self, run_id: str, at: int) -> RunKey:
        """Return the run that something belongs to which happened at `at`.

        Shape: of several with that run id the one that started last before it.
        Units: `at` in microseconds since 1970 UTC.
        """
        runs = self._runs_of.get(run_id)
        if not runs:
            return RunKey(run_id, None)
        place = bisect_right(runs, at, key=lambda run: run[0])
        return RunKey(run_id, runs[max(place - 1, 0)][1])

    def names_of(self, keys: Iterable[RunKey]) -> dict[RunKey, str | None]:
        """Return the name of each run; None where runfold's own client has recorded it."""
        candidates = {key: _candidates(key) for key in keys}
        starts = self._starts({name for names in candidates.values() for name in names})
        return {key: self._choose(key, names, starts) for key, names in candidates.items()}

    def _choose(
        self, key: RunKey, names: tuple[str, ...], starts: Mapping[str, Start]
    ) -> str | None:
        for name in names:
            start = starts.get(name)
            if start is None:
                if name is names[-1] or self._is_first(key):
                    return name
            elif key.identity is None or start.identity == key.identity:
                return name if start.event_id.startswith(EVENT_ID_PREFIX) else None
        return names[-1]

    def _is_first(self, key: RunKey) -> bool:
        runs = self._runs_of.get(key.run_id)
        return not runs or runs[0][1] == key.identity


def _candidates(key: RunKey) -> tuple[str, ...]:
    plain = as_id(key.run_id)
    return (
        (plain,) if key.identity is None else (plain, as_id(name_beside(key.run_id, key.identity)))
    )


def as_id(name: str) -> str:
    """Return a name that can be a run id of the log: shortened where it is too long."""
    return name if is_id(name) else tame_id(name)
