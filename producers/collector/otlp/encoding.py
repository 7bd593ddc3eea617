"""A whole OTLP request as records of the log, which another process may make as well."""

from __future__ import annotations

from dataclasses import dataclass

from runfold.producers.collector.access import Caller
from runfold.producers.collector.otlp.items import Refused
from runfold.producers.collector.otlp.translation import Request
from runfold.producers.collector.records import Record, record_of
from runfold.schemas.errors import EventRejected


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a request becomes: records of the log, and items that are none."""

    records: list[Record]
    refused: list[Refused]


def encoded(request: Request, caller: Caller, *, content: bool) -> Encoded:
    """Return the records of a request that `caller` sends.

    Shape: an item of which one event can never be in the log is refused, and named once.
    Raises: ValueError for what is no such request.
    """
    made = request.translate(content=content)
    records: list[Record] = []
    lost: dict[int, EventRejected] = {}
    for at, event in zip(made.items, made.events, strict=True):
        record = record_of(event, caller)
        if isinstance(record, EventRejected):
            lost.setdefault(at, record)
        else:
            records.append(record)
    refused = made.refused + [
        request.refusal(made, at, error.reason, error.message) for at, error in lost.items()
    ]
    return Encoded(records, refused)
