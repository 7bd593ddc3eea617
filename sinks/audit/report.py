"""What an audit is told, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.offsets import LogPartition


@dataclass(frozen=True, slots=True)
class KnownLog:
    """The log as its broker describes it.

    Shape: for each partition the first offset that it holds and the next that it will give.
    """

    topic_id: str
    first_offsets: dict[int, int]
    next_offsets: dict[int, int]

    def bounds_of(self, log: LogPartition) -> tuple[int, int] | None:
        """Return the first and the next offset of a partition, None where it is of another log."""
        if log.topic_id != self.topic_id or log.partition not in self.next_offsets:
            return None
        return self.first_offsets[log.partition], self.next_offsets[log.partition]


@dataclass(frozen=True, slots=True)
class Drop:
    """Events of one producer that a client declared as dropped; ranges are first and last."""

    run_id: str
    producer: str
    ranges: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the lake itself does not hold.

    Shape: `log` is None where it is not known, and `log_unknown` says why; `waiting` are the ids of
    events that are in journals still, by run; `drops` the declarations that are.
    """

    log: KnownLog | None = None
    log_unknown: str = ""
    waiting: dict[str, EventIdSet] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is audited: one run, the runs that the log heard of since a time, or all."""

    run_id: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: `says` is a sentence for people, `facts` are for programs."""

    kind: str
    says: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """The events of one producer, each counted in the first of these places that has it.

    Shape: `emitted` is the highest number known from anywhere and the sum of the others. Of the
    numbers in `nowhere`, `unidentified` may be dead letters of the run that do not tell their ids,
    and the rest is `missing`. `in_log` are not in the lake yet; `expired` were, and their state
    has counted them.
    """

    run_id: str
    producer: str
    emitted: int
    stored: int
    expired: int = 0
    dead_letters: int = 0
    declared_dropped: int = 0
    in_journals: int = 0
    in_log: int = 0
    unidentified: int = 0
    missing: int = 0
    nowhere: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome. `accounts` are those that are not wholly stored; of one run, all of them.

    Shape: `ledger` has the sums of all accounts by the names of their fields; `findings` are what
    is wrong, `notes` what is worth knowing.
    """

    checked: dict[str, int]
    ledger: dict[str, int]
    accounts: list[Account]
    findings: list[Finding]
    notes: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether all balances."""
        return not self.findings

    @property
    def knows_runs(self) -> bool:
        """Whether there was any run to audit."""
        heard_of = self.checked["runs"] or self.ledger["dead_letters_without_id"]
        return bool(heard_of or self.accounts or self.findings)
