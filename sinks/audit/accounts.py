"""Where the events of one producer are: each number from 1 to the highest, counted once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from runfold.schemas.offsets import OffsetRange, merge_ranges, without
from runfold.sinks.audit.report import Account

Numbers = list[OffsetRange]
"""Sequence numbers, as ranges."""


@dataclass(slots=True)
class Evidence:
    """Where numbers of one producer were seen. A number may be in several of them."""

    stored: Numbers = field(default_factory=list)
    expired: Numbers = field(default_factory=list)
    dead_letters: Numbers = field(default_factory=list)
    declared: Numbers = field(default_factory=list)
    waiting: Numbers = field(default_factory=list)

    @property
    def emitted(self) -> int:
        """The highest number that is known from anywhere."""
        everything = (self.stored, self.expired, self.dead_letters, self.declared, self.waiting)
        return max((each.last for numbers in everything for each in numbers), default=0)

    @property
    def highest_in_lake(self) -> int:
        """The highest number of which a record came as far as the lake."""
        return max(
            (each.last for each in (*self.stored, *self.expired, *self.dead_letters)), default=0
        )


def account(run_id: str, producer: str, evidence: Evidence, *, unread: int | None) -> Account:
    """Count every number in the first place that has it: stored before all others.

    Shape: `unread` is how many records the log may hold that are not in the lake yet, None where
    nobody knows. A producer's events are in order in the log, so only numbers behind the highest
    one in the lake can be among them.
    """
    emitted = evidence.emitted
    left = [OffsetRange(1, emitted)] if emitted else []
    counts: dict[str, int] = {}
    for name, place in (
        ("stored", evidence.stored),
        ("expired", evidence.expired),
        ("dead_letters", evidence.dead_letters),
        ("declared_dropped", evidence.declared),
        ("in_journals", evidence.waiting),
    ):
        rest = without(left, place)
        counts[name] = size(left) - size(rest)
        left = rest
    behind = without(left, [OffsetRange(0, evidence.highest_in_lake)])
    in_log = behind if unread is None else _the_first(behind, unread)
    left = without(left, in_log)
    return Account(
        run_id=run_id,
        producer=producer,
        emitted=emitted,
        **counts,
        in_log=size(in_log),
        missing=size(left),
        nowhere=[(each.first, each.last) for each in left],
    )


def size(numbers: Sequence[OffsetRange]) -> int:
    """Return how many numbers these are."""
    return sum(map(len, numbers))


_MOST_RANGES = 8


def ranges_text(ranges: Iterable[tuple[int, int]]) -> str:
    """Return ranges as people write them, `88-104, 230`, shortened where there are many."""
    said = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    more = len(said) - _MOST_RANGES
    return ", ".join(said[:_MOST_RANGES]) + (f" … and {more:,} more ranges" if more > 0 else "")


def _the_first(numbers: Numbers, count: int) -> Numbers:
    """Return the first `count` of `numbers`."""
    chosen: Numbers = []
    for each in merge_ranges(numbers):
        if count <= 0:
            break
        chosen.append(OffsetRange(each.first, min(each.last, each.first + count - 1)))
        count -= len(chosen[-1])
    return chosen
