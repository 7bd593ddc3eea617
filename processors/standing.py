"""How a worker stands: ready or not, why, and how far each partition is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from runfold.schemas.errors import RunfoldError


class NotReady(StrEnum):
    """Why a worker is not ready. Stable: probes and `runfold status` show these words."""

    STARTING = "starting"
    BROKER_UNREACHABLE = "broker_unreachable"
    STALLED = "stalled"
    UNWATCHED = "unwatched"


class Cause(NamedTuple):
    """The error that a flush or a batch met, by its stable code and in its own words."""

    code: str
    message: str

    @classmethod
    def of(cls, error: RunfoldError) -> Cause:
        """Return the cause that `error` is."""
        return cls(error.code, str(error))

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class PartitionStanding:
    """One assigned partition.

    Shape: `durable_offset` is None before the partition is taken over; `stalled_seconds` is None
    while it gets on; `held_up_by` is the error that its last flush or batch must wait for.
    """

    log_end: int | None
    durable_offset: int | None
    stalled_seconds: float | None = None
    held_up_by: Cause | None = None

    @property
    def lag_records(self) -> int | None:
        """How many records are in the log and not in the lake, at most."""
        if self.log_end is None or self.durable_offset is None:
            return None
        return max(0, self.log_end - self.durable_offset)

    def as_json(self) -> dict[str, Any]:
        """Return it for `/readyz`."""
        return {
            "log_end": self.log_end,
            "durable_offset": self.durable_offset,
            "lag_records": self.lag_records,
            "stalled_seconds": self.stalled_seconds,
            "held_up_by": self.held_up_by and self.held_up_by._asdict(),
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """A worker as it was when it last looked at itself. Immutable, so any thread may read it.

    Shape: `reasons` has a sentence for each reason why it was not ready.
    Units: `looked_at` is of the monotonic clock, None before the worker reads the log.
    """

    reasons: Mapping[NotReady, str]
    partitions: Mapping[int, PartitionStanding] = field(default_factory=dict)
    looked_at: float | None = None
    runs_held: int = 0
    runs_past: int = 0
    rebalances: int = 0

    def reasons_at(self, now: float, trusted_seconds: float) -> Mapping[NotReady, str]:
        """Return why the worker is not ready at `now`, nothing where it is.

        Units: a look that is older than `trusted_seconds` says nothing of the worker any more.
        """
        if self.looked_at is None or now - self.looked_at <= trusted_seconds:
            return self.reasons
        silent = f"the worker last looked at itself {now - self.looked_at:.0f} s ago"
        return {**self.reasons, NotReady.UNWATCHED: silent}

    def as_json(self, now: float, trusted_seconds: float) -> dict[str, Any]:
        """Return it for `/readyz`, as of `now`."""
        reasons = self.reasons_at(now, trusted_seconds)
        return {
            "ready": not reasons,
            "reasons": [{"reason": str(each), "message": said} for each, said in reasons.items()],
            "partitions": {str(each): at.as_json() for each, at in self.partitions.items()},
        }
