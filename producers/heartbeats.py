"""Heartbeats: what tells a run that thinks for long from one whose process is gone."""

from __future__ import annotations

from typing import NamedTuple

from runfold.producers.debug import explain
from runfold.producers.event_line import line_rest
from runfold.producers.outbox import Outbox, RunLine
from runfold.producers.tame import is_a
from runfold.schemas.silence import HEARTBEAT
from runfold.schemas.vocabulary import EventType

_LOOKS = 6
"""So many looks at the open runs fall into one interval."""
_MOST_RUNS = 10_000


class _Heard(NamedTuple):
    """What was known of a run at the last look; `at` is in seconds of the monotonic clock."""

    sequence: int
    at: float
    has_beaten: bool


class Heartbeats:
    """Speaks for the open runs of one outbox that say nothing themselves.

    A run's first heartbeat comes soon, from the second look on, whatever else it says: it tells
    readers that from now on silence means death. `opened` and `ended` may be called from any
    thread and cost a dictionary's entry; `beat` is called by the shipper while it reaches the log,
    since a heartbeat that arrives late tells nothing. While 10,000 runs are open, those that are
    opened on top of them get none.
    """

    def __init__(self, outbox: Outbox, every_seconds: float | None) -> None:
        self._outbox = outbox
        self._every_seconds = every_seconds
        self._open: dict[str, RunLine] = {}
        self._heard: dict[str, _Heard] = {}
        self._look_at = 0.0

    def opened(self, run: RunLine) -> None:
        """Speak for `run` from now on."""
        if self._every_seconds is not None and len(self._open) < _MOST_RUNS:
            self._open[run.run_id] = run

    def ended(self, run: RunLine) -> None:
        """Fall silent; after the event that is recorded next no heartbeat follows."""
        self._open.pop(run.run_id, None)

    def beat(self, now: float) -> None:
        """Record a heartbeat of each run that has said nothing for the interval.

        Units: `now` in seconds of the monotonic clock.
        """
        if self._every_seconds is None or now < self._look_at:
            return
        self._look_at = now + self._every_seconds / _LOOKS
        self._heard = {
            run.run_id: self._look(run, now, self._every_seconds)
            for run in list(self._open.values())  # other threads go on opening runs
        }

    def _look(self, run: RunLine, now: float, every_seconds: float) -> _Heard:
        known = self._heard.get(run.run_id)
        if known is None:
            return _Heard(run.sequence, now, has_beaten=False)
        spoken_at = known.at if known.sequence == run.sequence else now
        if known.has_beaten and now - spoken_at < every_seconds:
            return _Heard(run.sequence, spoken_at, has_beaten=True)
        with self._outbox.lock:
            if run.run_id in self._open:  # else it has ended just now
                self._outbox.put(run, line_rest(EventType.RUN_HEARTBEAT.value, {}))
        return _Heard(run.sequence, now, has_beaten=True)


def heartbeat_interval(given: object) -> float | None:
    """Return the seconds between heartbeats: those given, at most 30; None for no heartbeats.

    More than 30 would let readers take a run for dead between two of them.
    """
    most = HEARTBEAT.total_seconds()
    if given is None or given is False:
        return None
    if is_a(given, int) or is_a(given, float):
        if given == 0:
            return None
        if given > 0:
            return min(float(given), most)
    explain(f"heartbeat_seconds is a {type(given).__name__} that is no time, taken as {most:.0f}")
    return most
