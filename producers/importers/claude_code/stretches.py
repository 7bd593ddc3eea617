"""When a run was at work: transcripts say when something was written, not when a session ended.

A run that wrote nothing for longer than the idle time has ended with its last line; one that
writes again after that was resumed. This depends on the lines alone, so an import in the pause
and one long after give the same events, and only whether the last stretch has ended depends on
the clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runfold.producers.importers.claude_code.units import Tool, Unit
from runfold.schemas.vocabulary import RunStatus

GRACE_US = 2_000_000
"""How much later than the end that its parent saw a sub-agent's own last line may be."""

Mark = tuple[int, str]
"""When a line was written, and its uuid."""
Completion = tuple[int, str, str]
"""When the parent run saw the end, by which tool call, and the status."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time of work without a pause. `ended` is None where it may still go on."""

    first: Mark
    last: Mark
    ended: Completion | None


def stretches(
    marks: Iterable[Mark], completed: Iterable[Completion], *, idle_us: int, now_us: int
) -> list[Stretch]:
    """Cut `marks` where nothing was written for `idle_us`, and where the parent saw an end.

    Shape: an end by idleness has status "".
    """
    ordered = sorted(marks)
    ends = sorted(completed)
    found: list[Stretch] = []
    start = 0
    for at, mark in enumerate(ordered):
        following = ordered[at + 1] if at + 1 < len(ordered) else None
        covered = mark[0] - GRACE_US
        until = following[0] - GRACE_US if following else None
        seen = [each for each in ends if covered <= each[0] and (until is None or each[0] < until)]
        if seen:
            when, tool_id, status = seen[-1]
            ended: Completion | None = (max(when, mark[0]), tool_id, status)
        elif (following[0] if following else now_us) - mark[0] > idle_us:
            ended = mark[0], mark[1], ""
        else:
            ended = None
        if ended is not None or following is None:
            found.append(Stretch(ordered[start], mark, ended))
            start = at + 1
    return found


class Outcomes:
    """How a run stood at a time, from its own units."""

    def __init__(self, units: Sequence[Unit]) -> None:
        telling = [
            (at, unit) for unit in units if not unit.neutral for at in set(unit.marks.values())
        ]
        telling.sort(key=lambda each: each[0])
        self._times = [at for at, _ in telling]
        self._units = [unit for _, unit in telling]
        self._tools = [
            tool for unit in units if unit.message for tool in unit.message.tools.values()
        ]

    def at(self, when: int) -> tuple[RunStatus, Unit | None]:
        """Return the status of a run that ended at `when`, and the error that it ended in."""
        place = bisect_right(self._times, when)
        last = self._units[place - 1] if place else None
        if last is not None and last.ending == "error":
            return RunStatus.FAILURE, last
        if (last is not None and last.ending) or any(_open(each, when) for each in self._tools):
            return RunStatus.CANCELLED, None
        return RunStatus.SUCCESS, None


def _open(tool: Tool, when: int) -> bool:
    return tool.started_at <= when and (tool.ended_at is None or tool.ended_at > when)
