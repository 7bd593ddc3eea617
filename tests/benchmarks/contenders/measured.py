"""What a contender says of itself: JSON lines on its standard output, read by the race.

Times are of the monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def say(**facts: Any) -> None:
    """Print one line of facts."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def now() -> float:
    """Return the seconds of the clock that all contenders share."""
    return time.monotonic()


def note_first_fetch(topic: str) -> list[float]:
    """Return a list that will hold when aiokafka got the first records of `topic`.

    Shape: empty until then, one time afterwards.
    """
    from aiokafka.consumer import fetcher

    first: list[float] = []

    class Noted(fetcher.PartitionRecords):  # type: ignore[misc]
        def __init__(self, tp: Any, *args: Any) -> None:
            if not first and tp.topic == topic:
                first.append(now())
            super().__init__(tp, *args)

    fetcher.PartitionRecords = Noted
    return first
