"""Watches one worker from inside: asks the log where it ends, and says whether all gets on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from runfold.processors.metrics import WorkerMetrics
from runfold.processors.observer import Observer
from runfold.processors.partitions import Progress
from runfold.processors.standing import Cause, NotReady, PartitionStanding, Standing
from runfold.processors.watchdog import Watchdog
from runfold.schemas.errors import BrokerUnavailable, RunfoldError
from runfold.schemas.lake import Flush

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
STALL_WINDOW = timedelta(seconds=30)
_FLUSHES_MISSED = 3
_TRUSTED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at a worker found.

    Shape: `log_ends` is what Kafka answered, nothing where it did not; then `unreachable` says
    how. `rebalances` counts from the start of the process.
    """

    log_ends: Mapping[int, int]
    unreachable: BrokerUnavailable | None
    assigned: AbstractSet[int]
    progress: Progress
    rebalances: int


def stall_window(flush_interval: timedelta, shortest: timedelta = STALL_WINDOW) -> timedelta:
    """Return how long a partition may stand before it counts as stalled: three flushes at least."""
    return max(shortest, flush_interval * _FLUSHES_MISSED)


class WorkerMonitor(Observer):
    """Keeps the standing and the metrics of one worker.

    It is fed on the worker's event loop; `standing`, `readiness` and `metrics` may be read from
    any thread.
    """

    def __init__(self, window: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watchdog = Watchdog(window)
        self._log_ends: dict[int, int] = {}
        self._held_up_by: dict[int, Cause] = {}
        self.standing = Standing({NotReady.STARTING: "no partitions have been taken over yet"})
        self.metrics = WorkerMetrics(lambda: self.standing, lambda: self.ready)

    @property
    def ready(self) -> bool:
        """Whether the worker is ready now."""
        return not self.standing.reasons_at(self._clock(), _TRUSTED_SECONDS)

    def readiness(self) -> dict[str, Any]:
        """Return what `/readyz` says now."""
        return self.standing.as_json(self._clock(), _TRUSTED_SECONDS)

    def waits_to_start(self, error: RunfoldError) -> None:
        """Note what keeps the worker from starting."""
        self.standing = Standing({NotReady.STARTING: str(Cause.of(error))})

    def flushed(self, flush: Flush, seconds: float) -> None:
        """Note that `flush` is durable, and how long it took."""
        self._held_up_by.pop(flush.log.partition, None)
        self.metrics.flushed(flush, seconds)

    def held_up(self, partition: int, error: RunfoldError) -> None:
        """Note that a flush or a batch must be tried again, because of `error`."""
        self._held_up_by[partition] = Cause.of(error)
        self.metrics.held_up(error)

    def reads_again(self, partition: int) -> None:
        """Note that the consumer was sent back to records that it had passed over."""
        del partition
        self.metrics.read_again()

    def look(self, seen: Seen) -> None:
        """Say how the worker stands, from what was seen of it just now."""
        done = seen.progress.durable_offsets
        durable = {each: done.get(each) for each in sorted(seen.assigned)}
        known = {**self._log_ends, **seen.log_ends}
        self._log_ends = {each: end for each, end in known.items() if each in durable}
        self._held_up_by = {each: e for each, e in self._held_up_by.items() if each in durable}
        now = self._clock()
        self._watchdog.observe(now, self._log_ends, durable)
        before = self.standing
        self.standing = self._standing(now, seen, durable)
        _log_changes(before, self.standing)

    def _standing(self, now: float, seen: Seen, durable: Mapping[int, int | None]) -> Standing:
        stalled = self._watchdog.stalled()
        partitions = {
            partition: PartitionStanding(
                self._log_ends.get(partition),
                offset,
                round(now - stalled[partition], 1) if partition in stalled else None,
                self._held_up_by.get(partition),
            )
            for partition, offset in durable.items()
        }
        reasons = {}
        if seen.unreachable is not None:
            reasons[NotReady.BROKER_UNREACHABLE] = str(seen.unreachable)
        if stalled:
            reasons[NotReady.STALLED] = _stall_told({each: partitions[each] for each in stalled})
        return Standing(
            reasons,
            partitions,
            looked_at=now,
            runs_held=seen.progress.runs_held,
            runs_past=seen.progress.runs_past,
            rebalances=seen.rebalances,
        )


def _stall_told(stalled: Mapping[int, PartitionStanding]) -> str:
    """Return a sentence for each code of an error that keeps partitions from moving."""
    by_cause: dict[str, list[int]] = {}
    for partition, at in stalled.items():
        code = at.held_up_by.code if at.held_up_by else _unexplained(at)
        by_cause.setdefault(code, []).append(partition)
    return "; ".join(
        _group_told({each: stalled[each] for each in group}) for group in by_cause.values()
    )


def _group_told(group: Mapping[int, PartitionStanding]) -> str:
    first = next(iter(group.values()))
    numbers = f"partition{'s' * (len(group) > 1)} {', '.join(map(str, group))}"
    seconds = max(at.stalled_seconds or 0 for at in group.values())
    records = sum(at.lag_records or 0 for at in group.values())
    cause = first.held_up_by or _unexplained(first)
    return f"no progress in {numbers} for {seconds:.0f} s, {records:,} records to go ({cause})"


def _unexplained(at: PartitionStanding) -> str:
    return "not taken over yet" if at.durable_offset is None else "no error was reported"


def _log_changes(before: Standing, after: Standing) -> None:
    """Warn of each stall, and of a broker that is gone, once when it begins and once at its end."""
    was, now = _stalled(before), _stalled(after)
    if now - was:
        log.warning("stalled", partitions=sorted(now - was), why=after.reasons[NotReady.STALLED])
    recovered = sorted((was - now) & after.partitions.keys())
    if recovered:
        log.warning("goes on after a stall", partitions=recovered)
    gone = NotReady.BROKER_UNREACHABLE
    if gone in after.reasons and gone not in before.reasons:
        log.warning("Kafka does not answer", error=after.reasons[gone])
    elif gone in before.reasons and gone not in after.reasons:
        log.warning("Kafka answers again")


def _stalled(standing: Standing) -> set[int]:
    return {each for each, at in standing.partitions.items() if at.stalled_seconds is not None}
