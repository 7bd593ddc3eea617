"""Events as the log has them: of whom they are, and in bytes."""

from __future__ import annotations

from functools import cache

from runfold.producers.collector.access import Caller
from runfold.producers.publisher import EventFields, within_limit
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import EventRejected
from runfold.schemas.vocabulary import DeadLetterReason

Record = tuple[bytes, bytes]
"""The key and the value of a record of the log."""


def record_of(event: EventFields, caller: Caller) -> Record | EventRejected:
    """Return the record of an event that `caller` sends, or why it can never be one.

    Shape: the event is one of the caller's project, and refused where it is of another host.
    """
    if caller.host is not None and event.get("host") not in (None, caller.host):
        message = (
            f"host {event['host']!r}: key {caller.key_id} sends events of {caller.host!r} only"
        )
        return EventRejected(DeadLetterReason.OTHER_HOST, message)
    if caller.project is not None or caller.host is not None:
        bound = {"project": caller.project, "host": caller.host}
        event = {**event, **{name: value for name, value in bound.items() if value is not None}}
    try:
        value = within_limit(_encoder()(event))
    except EventRejected as error:
        return error
    return event["run_id"].encode(), value


@cache
def _encoder() -> SparseEncoder:
    return SparseEncoder(latest("event"))
