"""What an OTLP request holds, in one form whether it came as protobuf or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

from runfold.producers.coercion import occurred_at_us
from runfold.schemas.vocabulary import DeadLetterReason

MOST_NESTED = 64
"""So deep may the values of attributes nest; protobuf itself stops at 100."""


class Signal(StrEnum):
    """What a request carries."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class ItemRefused(Exception):
    """One item cannot become an event; `reason` is a `DeadLetterReason`, the message says why."""

    def __init__(self, message: str, reason: str = DeadLetterReason.BAD_ITEM.value) -> None:
        super().__init__(message)
        self.reason = reason


class Source(NamedTuple):
    """Where items come from: what is said of a process, and the library that made them."""

    resource: dict[str, Any]
    scope: str
    scope_version: str


class Span(NamedTuple):
    """A span that has ended.

    Shape: ids are lower-case hexadecimal, `parent_span_id` empty for a root; `kind` and `status`
    are OTLP's numbers; `events` are pairs of a name and attributes; `links` span ids; `raw` is the
    item as it came. Units: times in nanoseconds since 1970 UTC.
    """

    raw: Any
    name: str
    trace_id: str
    span_id: str
    parent_span_id: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    links: list[str]
    status: int
    message: str


class Point(NamedTuple):
    """One data point of a metric.

    Shape: `kind` is gauge, sum, histogram, exponential_histogram or summary; the value of the
    latter three is their sum, and `details` have the rest. Units: time in nanoseconds since 1970.
    """

    raw: Any
    name: str
    unit: str
    kind: str
    time_ns: int
    value: float | None
    attributes: dict[str, Any]
    details: dict[str, Any]


class Log(NamedTuple):
    """A log record, or an event. Units: time in nanoseconds since 1970, 0 where none is told."""

    raw: Any
    time_ns: int
    severity: int
    severity_text: str
    body: Any
    attributes: dict[str, Any]
    trace_id: str
    span_id: str
    event_name: str


Item = TypeVar("Item", Span, Point, Log)


class Refused(NamedTuple):
    """An item that cannot be read. `where` names it; `content` is what came, as JSON."""

    where: str
    reason: str
    message: str
    content: bytes


@dataclass(slots=True)
class Batch(Generic[Item]):
    """The items of one request, those of one source together, and those that could not be read.

    Shape: `lists` tells where the items of `groups` were, in their order: the place of a list, and
    which of its entries could be read.
    """

    groups: list[tuple[Source, list[Item]]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    lists: list[tuple[str, Sequence[int]]] = field(default_factory=list)

    def read(
        self, raws: Any, read: Callable[[Any], Item], where: str, dump: Callable[[Any], bytes]
    ) -> list[Item]:
        """Return the items that `read` makes of `raws`; note those that it refuses."""
        items: list[Item] = []
        skipped: set[int] = set()
        for at, raw in enumerate(raws):
            try:
                items.append(read(raw))
            except ItemRefused as error:
                skipped.add(at)
                self.refuse(f"{where}[{at}]", error, dump(raw))
        were = range(len(items) + len(skipped))
        self.lists.append((where, [at for at in were if at not in skipped] if skipped else were))
        return items

    def place_of(self, number: int) -> str:
        """Return where an item was that could be read; they are numbered over all groups."""
        for where, indexes in self.lists:
            if number < len(indexes):
                return f"{where}[{indexes[number]}]"
            number -= len(indexes)
        raise IndexError(number)

    def refuse(self, where: str, error: ItemRefused, content: bytes) -> None:
        """Note that an item cannot be read."""
        self.refused.append(Refused(where, error.reason, str(error), content))


def microseconds(time_ns: int, name: str) -> int:
    """Return a time as events have it. Raises: ItemRefused where it is none of 2000 to 2199."""
    at = occurred_at_us(time_ns // 1000)
    if at is None:
        message = f"{name}: {time_ns} ns since 1970 is not in the years 2000 to 2199"
        raise ItemRefused(message, DeadLetterReason.BAD_TIME.value)
    return at


def needed_id(text: str, name: str) -> str:
    """Return an id. Raises: ItemRefused for an empty one or one of zeros only."""
    if not text.strip("0"):
        raise ItemRefused(f"{name} is missing", DeadLetterReason.MISSING_ID.value)
    return text
