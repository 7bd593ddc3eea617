"""Limits of a rate: a bucket that fills steadily, and from which each request takes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Holds up to `burst` tokens and gains `per_second`.

    Units: `now` in seconds of a clock that only goes forward.
    """

    per_second: float
    burst: float
    tokens: float
    filled_at: float

    @classmethod
    def full(cls, per_second: float, burst: float, now: float) -> TokenBucket:
        """Return a bucket that is full."""
        return cls(per_second, burst, burst, now)

    def wait(self, now: float) -> float:
        """Return in how many seconds there will be a token, 0 where there is one."""
        gained = max(0.0, now - self.filled_at) * self.per_second
        self.tokens = min(self.burst, self.tokens + gained)
        self.filled_at = max(self.filled_at, now)
        return 0.0 if self.tokens >= 1 else (1 - self.tokens) / self.per_second

    def take(self, now: float) -> float:
        """Take a token and return 0, or return in how many seconds there will be one."""
        wait = self.wait(now)
        if wait == 0:
            self.tokens -= 1
        return wait


class Buckets:
    """A bucket for each of many names, of which those not used for the longest time are forgotten.

    Shape: a name that is forgotten has a full bucket when it comes again.
    """

    def __init__(self, per_second: float, burst: float, *, most: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def wait(self, name: str, now: float) -> float:
        """Return in how many seconds `name` will have a token, 0 where it has one."""
        bucket = self._buckets.get(name)
        return 0.0 if bucket is None else bucket.wait(now)

    def take(self, name: str, now: float) -> None:
        """Take one of the tokens of `name`, where it has one."""
        bucket = self._buckets.setdefault(
            name, TokenBucket.full(self._per_second, self._burst, now)
        )
        self._buckets.move_to_end(name)
        bucket.take(now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
