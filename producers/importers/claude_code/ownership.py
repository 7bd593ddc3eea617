"""Which run a unit belongs to where several sessions hold it.

A resumed session of older versions and a fork repeat the lines before them. Counting a line in
each would count its tokens twice, so each unit has one owner:

1. the run that the lake holds it in, or holds others in that the same sessions share;
2. the session that its `forkedFrom` names (resolved before, so the copy makes no claim);
3. inside one session, the session itself rather than a sub-agent that inherited its context;
4. the session that went on first by itself: of two, the one whose first line that the other does
   not have is earliest, and before that one that has no such line; then the older file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from runfold.producers.importers.claude_code.units import RunInfo, Unit

NEVER_US = -1


class Ownership:
    """Settles the owners of the units of one group; `stored` are the runs of ids in the lake."""

    def __init__(
        self, units: Mapping[str, Unit], runs: Mapping[str, RunInfo], stored: Mapping[str, str]
    ) -> None:
        self._runs = runs
        self._stored = stored
        self._origins: dict[tuple[str, str], str] = {}
        self._settled: dict[frozenset[str], str] = {}
        self._units_of: dict[str, list[Unit]] = {}
        for unit in sorted(units.values(), key=lambda each: each.first_at):
            held = self._held_in(unit)
            if held is not None:
                self._settled.setdefault(frozenset(unit.claims), held)
            for run_id in unit.claims:
                self._units_of.setdefault(run_id, []).append(unit)

    def owner_of(self, unit: Unit) -> str:
        """Return the run that `unit` belongs to."""
        held = self._held_in(unit)
        if held is not None:
            return held
        if len(unit.claims) == 1:
            return next(iter(unit.claims))
        settled = self._settled.get(frozenset(unit.claims))
        return settled or reduce(self._origin, sorted(unit.claims))

    def _held_in(self, unit: Unit) -> str | None:
        stored = self._stored
        return next((stored[each] for each in unit.event_ids() if each in stored), None)

    def _origin(self, one: str, other: str) -> str:
        pair = one, other
        if pair not in self._origins:
            self._origins[pair] = min(pair, key=lambda run: self._rank(run, pair))
        return self._origins[pair]

    def _rank(self, run_id: str, pair: tuple[str, str]) -> tuple[bool, int, int, str]:
        """Return a key of which the origin of the two has the lesser one."""
        info = self._runs[run_id]
        other = next(each for each in pair if each != run_id)
        same_session = info.session_id == self._runs[other].session_id
        inherited = same_session and info.agent_id is not None
        return inherited, self._went_on_at(run_id, other), info.modified_ns, run_id

    def _went_on_at(self, run_id: str, other: str) -> int:
        """Return when the run wrote its first line that `other` does not have."""
        own = (each for each in self._units_of[run_id] if other not in each.claims)
        first = next(own, None)
        return NEVER_US if first is None else first.first_at
