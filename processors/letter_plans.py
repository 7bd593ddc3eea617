"""What sending dead letters again would give, judged by what decodes events for the fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from runfold.processors.errors import RepairFailed
from runfold.processors.letter_repairs import Repair
from runfold.schemas.codec.columns import decode_event_batch
from runfold.schemas.codec.decoder import decode
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.codec.partial import Readable, read_what_can_be
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import EventRejected
from runfold.schemas.kept_letter import KeptLetter
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODE = SparseEncoder(latest("event"))

EventFields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one letter.

    Shape: `before` is what could be read of it; `event` has the set fields of the event that it
    becomes, or `refused` says why it becomes none; neither where it is left alone.
    """

    letter: KeptLetter
    before: Readable
    event: EventFields | None = None
    refused: str | None = None


def plan_redrive(letters: Sequence[KeptLetter], framing: Framing = EVENT_FRAMING) -> list[Plan]:
    """Return what the letters' records become, sent again as they are.

    Raises: RegistryUnavailable (retry).
    """
    refused = _refused([(each.key, each.value) for each in letters], framing)
    plans = []
    for letter, problem in zip(letters, refused, strict=True):
        before = read_what_can_be(letter.value, framing)
        if problem is None and letter.value is not None:
            event = _set_fields(decode(letter.value, framing))
            plans.append(Plan(letter, before, event))
        else:
            plans.append(Plan(letter, before, refused=problem))
    return plans


def plan_fix(
    letters: Sequence[KeptLetter], repair: Repair, framing: Framing = EVENT_FRAMING
) -> list[Plan]:
    """Return what the letters become by `repair`. Raises: RegistryUnavailable (retry)."""
    plans = [_repaired(letter, repair, framing) for letter in letters]
    records = [(each.event["run_id"].encode(), _ENCODE(each.event)) for each in plans if each.event]
    refused = iter(_refused(records, EVENT_FRAMING))
    return [
        Plan(each.letter, each.before, refused=problem)
        if each.event and (problem := next(refused)) is not None
        else each
        for each in plans
    ]


def _repaired(letter: KeptLetter, repair: Repair, framing: Framing) -> Plan:
    before = read_what_can_be(letter.value, framing)
    try:
        made = repair(letter, deepcopy(before.event))
        if made is None:
            return Plan(letter, before)
        event = _as_event(made, letter)
        _ENCODE(event)
    except RepairFailed as error:
        return Plan(letter, before, refused=str(error))
    except EventRejected as error:
        return Plan(letter, before, refused=error.message)
    return Plan(letter, before, event)


def _as_event(made: Any, letter: KeptLetter) -> EventFields:
    """Return what a repair made as an event's fields: with an id, and times as the log has them.

    Raises: RepairFailed.
    """
    if not isinstance(made, dict):
        raise RepairFailed(f"a {type(made).__name__} where an event or null is needed")
    event = _set_fields(made)
    if not event.get("event_id"):
        event["event_id"] = letter.place.event_id
    if isinstance(event.get("attributes"), dict):
        event["attributes"] = orjson.dumps(event["attributes"], default=str).decode()
    event["occurred_at"] = _microseconds(event.get("occurred_at"))
    return event


def _microseconds(time: Any) -> Any:
    """Return a datetime or an ISO 8601 text as microseconds since 1970 UTC, others unchanged."""
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError as error:
            raise RepairFailed(f"field 'occurred_at': {error}") from error
    if isinstance(time, datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=UTC)
        return (aware - _EPOCH) // timedelta(microseconds=1)
    return time


def _set_fields(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content for name, content in event.items() if content is not None}


def _refused(
    records: Sequence[tuple[bytes | None, bytes | None]], framing: Framing
) -> list[str | None]:
    """Return for each record why a worker would not take it, None where it would."""
    refused: list[str | None] = [None] * len(records)
    if records:
        keys, values = zip(*records, strict=True)
        offsets = list(range(len(records)))
        batch = RecordBatch(
            LogPartition("", 0), 0, offsets, [0] * len(records), list(keys), list(values)
        )
        for each in decode_event_batch(batch, framing).rejected:
            refused[each.row] = f"{each.reason}: {each.message}"
    return refused
