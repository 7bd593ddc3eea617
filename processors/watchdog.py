"""Tells from what is seen now and then whether the partitions of a worker get on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class _Wait:
    """A partition with records to go, and the place where it has stood since a time."""

    durable_offset: int | None
    since: float


class Watchdog:
    """Finds partitions that have records to go and do not move.

    A partition is well when all its log is durable, or when its durable offset has moved since the
    observation before. One that is not, at each observation of a whole `window`, is stalled,
    whether or not its log grows meanwhile.

    Units: times are seconds of any clock that does not go back.
    """

    def __init__(self, window: timedelta) -> None:
        self._window_seconds = window.total_seconds()
        self._waits: dict[int, _Wait] = {}
        self._now = 0.0

    def observe(
        self, now: float, log_ends: Mapping[int, int], durable_offsets: Mapping[int, int | None]
    ) -> None:
        """Take note of how the partitions are at `now`.

        Shape: `durable_offsets` has the partitions that the worker is assigned, and None for one
        that it has not taken over yet; others are forgotten. Where `log_ends` lacks one of them,
        as while Kafka does not answer, it is taken to be waiting only if it was.
        """
        self._now = now
        waits: dict[int, _Wait] = {}
        for partition, durable in durable_offsets.items():
            before = self._waits.get(partition)
            if not _has_more(log_ends.get(partition), durable, waited=before is not None):
                continue
            stands = before is not None and before.durable_offset == durable
            waits[partition] = before if before and stands else _Wait(durable, now)
        self._waits = waits

    def stalled(self) -> dict[int, float]:
        """Return for each partition that was stalled when last seen since when it stands."""
        return {
            partition: wait.since
            for partition, wait in self._waits.items()
            if self._now - wait.since >= self._window_seconds
        }


def _has_more(log_end: int | None, durable: int | None, *, waited: bool) -> bool:
    if durable is None:
        return True
    return waited if log_end is None else log_end > durable
