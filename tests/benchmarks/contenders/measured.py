"""What a contender says of itself: JSON lines on its standard output, read by the race.

Times are of the monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, NamedTuple


def say(**facts: Any) -> None:
    """Print one line of facts."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Moment(NamedTuple):
    """A time on the clock that all contenders share, and the CPU time of this process until then.

    Units: seconds.
    """

    at: float
    cpu: float


def now() -> Moment:
    """Return this moment."""
    return Moment(time.monotonic(), time.process_time())


def note_first_fetch(topic: str) -> list[Moment]:
    """Return a list that will hold when aiokafka got the first records of `topic`.

    Shape: empty until then, one moment afterwards.
    """
    from aiokafka.consumer import fetcher

    first: list[Moment] = []

    class Noted(fetcher.PartitionRecords):  # type: ignore[misc]
        def __init__(self, tp: Any, *args: Any) -> None:
            if not first and tp.topic == topic:
                first.append(now())
            super().__init__(tp, *args)

    fetcher.PartitionRecords = Noted
    return first
