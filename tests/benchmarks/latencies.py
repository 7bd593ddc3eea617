"""How long single calls take, from one thread and from several at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

Call = Callable[[], object]
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Subject:
    """What is called, by how many threads at once. Units: `payload_bytes` of each call."""

    name: str
    payload_bytes: int
    threads: int
    call: Call


@dataclass(frozen=True, slots=True)
class Latencies:
    """Units: microseconds for one call, as its caller saw it."""

    p50: float
    p99: float

    @classmethod
    def of(cls, nanoseconds: list[int]) -> Latencies:
        """Return the percentiles of what calls took."""
        ascending = sorted(nanoseconds)
        p50, p99 = (ascending[len(ascending) * part // 100] / 1000 for part in (50, 99))
        return cls(p50, p99)


def measure(subjects: list[Subject], calls: int) -> list[Latencies]:
    """Call each subject so often, in rounds that take turns, so that a busy moment hits all."""
    taken: list[list[int]] = [[] for _ in subjects]
    for _ in range(_ROUNDS):
        for subject, kept in zip(subjects, taken, strict=True):
            kept += _round(subject, max(calls // _ROUNDS, subject.threads))
    return [Latencies.of(each) for each in taken]


def _round(subject: Subject, calls: int) -> list[int]:
    share = calls // subject.threads
    if subject.threads == 1:
        return timed(subject.call, share)
    start = threading.Barrier(subject.threads)
    taken: list[int] = []

    def work() -> None:
        start.wait()
        taken.extend(timed(subject.call, share))

    threads = [threading.Thread(target=work) for _ in range(subject.threads)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return taken


def timed(call: Call, calls: int) -> list[int]:
    """Return what each of so many calls took, in nanoseconds."""
    clock = time.perf_counter_ns
    taken = [0] * calls
    for number in range(calls):
        before = clock()
        call()
        taken[number] = clock() - before
    return taken
