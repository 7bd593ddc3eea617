"""Numbers that a foreign sender gives its events, and which of them never came.

Claude Code counts the events of a process as `event.sequence`. A session that is resumed is counted
anew, and one that begins in a running process begins in the middle, so these numbers are no ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from runfold.schemas.offsets import OffsetRange
from runfold.sinks.query import LakeQueries

_NUMBERS = """
select case when json_valid(attributes)
            then try_cast(attributes ->> '$."event.sequence"' as bigint) end as number
from events
where run_id = ? and date between ? and ? and contains(attributes, '"event.sequence"')
  and number >= 0
order by occurred_at, number
"""


def sender_holes(lake: LakeQueries, run_id: str, days: tuple[date, date]) -> list[OffsetRange]:
    """Return the numbers that are missing between those that the sender of a run gave.

    Shape: `days` are those in which the log took the run's events; a day around them is looked at.
    """
    span = [run_id, days[0] - timedelta(days=1), days[1] + timedelta(days=1)]
    found = lake.rows(_NUMBERS, span)
    return holes_between(each["number"] for each in found)


def holes_between(numbers: Iterable[int]) -> list[OffsetRange]:
    """Return what is missing between `numbers`, which are in the order of their events.

    Shape: several processes may count at once. A number continues the count that it follows, else
    the nearest one below it; where there is none below, another count begins.
    """
    last: set[int] = set()
    holes = []
    for number in numbers:
        below = [each for each in last if each < number]
        if below:
            nearest = max(below)
            last.remove(nearest)
            if nearest < number - 1:
                holes.append(OffsetRange(nearest + 1, number - 1))
        last.add(number)
    return sorted(holes, key=lambda hole: hole.first)
