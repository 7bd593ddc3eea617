"""What requests of the runs API say, as events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from runfold.producers.coercion import occurred_at_us
from runfold.producers.collector.runs_api.models import MadeCommit, NewRun
from runfold.producers.importers.local_telemetry.names import as_id
from runfold.producers.importers.local_telemetry.rows import StoredRun, run_at, shortened_id
from runfold.producers.importers.local_telemetry.run_events import Fact, digest, run_facts
from runfold.producers.local_telemetry_fields import (
    AS_GIVEN,
    metrics_of,
    name_beside,
    parse_time,
    plain_name,
    run_fields,
)
from runfold.schemas.run_state import RunState
from runfold.schemas.topic import EVENTS
from runfold.schemas.vocabulary import TERMINAL_STATUSES, EventType

Fields = dict[str, Any]

_LONGEST_TEXTS_BYTES = EVENTS.max_event_bytes - 4096
_CLEARED = ""
"""Stands for a value that is taken back: an event cannot say that there is none."""


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run that the log has. Shape: `name` is its run id in the log."""

    event_id: str
    name: str
    state: RunState

    @property
    def as_stored(self) -> StoredRun:
        """The run as the importer knows it, for the ids of its events."""
        return StoredRun(self.event_id, self.name, 0, None, "", {})


def names_for(record: NewRun) -> tuple[str, ...]:
    """Return the names that a run may have in the log, the best first."""
    return (
        as_id(record.run_id),
        as_id(name_beside(record.run_id, record.event_id)),
        as_id(f"{record.run_id}~{digest(record.event_id)}"),
    )


def new_events(record: NewRun, name: str) -> list[Fields]:
    """Return the events of a new run, the first of them its start.

    Shape: the same as an import of the same record gives, texts of any length kept whole.
    """
    values = {key: value for key, value in record.model_dump().items() if value not in (None, {})}
    start, *rest = run_facts(run_at(values, _started_at(record)))
    return [_event(each, name) for each in (_in_full(start, values, name), *rest)]


def end_events(record: NewRun, name: str) -> list[Fields]:
    """Return the events by which a run that has started before ends."""
    return [
        each for each in new_events(record, name) if each["event_type"] != EventType.RUN_STARTED
    ]


def change_events(run: KnownRun, changes: Mapping[str, Any]) -> list[Fields]:
    """Return the events that change a run, the last of them with all that is changed.

    Shape: later than all that the run knows, so that what is written last holds.
    """
    stored = run.as_stored
    status = changes.get("status")
    ends = status in TERMINAL_STATUSES
    at = _after(run.state, _microseconds(changes.get("end_time")) if ends else None)
    fields = {**run_fields(changes), "occurred_at": at}
    given = {name: changes[name] for name in AS_GIVEN if name in changes}
    fields["attributes"] = {**fields.get("attributes", {}), **given}
    if status is not None:
        error = changes.get("error_summary", run.state.attributes.get("error_summary"))
        fields |= {"status": status, "error_message": error or None}
    fields["duration_ms"] = changes.get("duration_ms")
    identity = digest([sorted(changes.items()), run.state.last_offset])
    events: list[Fact] = []
    if ends:
        for metric, value in metrics_of(changes.get("metrics_json")):
            measured = {"name": metric, "value": value, "occurred_at": at}
            kind = EventType.METRIC_RECORDED
            events.append(Fact(stored.event_id(f"metric-{shortened_id(metric)}"), kind, measured))
    kind = EventType.RUN_ENDED if ends else EventType.RUN_UPDATED
    what = "ended" if ends else "updated"
    event_id = stored.event_id(what)
    if not ends or event_id in run.state.seen:
        event_id = stored.event_id(f"{what}-{identity}")
    return [_event(each, run.name) for each in (*events, Fact(event_id, kind, fields))]


def commit_events(run: KnownRun, commit: MadeCommit, now: str) -> list[Fields]:
    """Return the event by which a run has made a commit; all that is known of it is replaced."""
    said: Fields = {
        "git_commit_hash": commit.commit_hash,
        "git_commit_source": commit.commit_source,
        "git_commit_author": commit.commit_author,
        "git_commit_timestamp": commit.commit_timestamp,
    }
    identity = digest({key: value for key, value in said.items() if value})
    event_id = run.as_stored.event_id(f"commit-{identity}")
    if event_id in run.state.seen:
        event_id = f"{event_id}-{run.state.last_offset}"
    for key, value in said.items():
        if value is None and getattr(run.state, key) is not None:
            said[key] = _CLEARED
    fields = {**said, "attributes": {"updated_at": now}, "occurred_at": _after(run.state, None)}
    return [_event(Fact(event_id, EventType.COMMIT_ASSOCIATED, fields), run.name)]


def holds(event: Mapping[str, Any], offset: int, state: RunState) -> bool:
    """Say whether all that the event at `offset` has set stands, or was replaced by a later one."""
    stamped = {
        *(key for key in event if key == "status" or key in _PROFILE_COLUMNS),
        *(f"attributes.{key}" for key in orjson.loads(event.get("attributes") or "{}")),
    }
    return all(key in state.stamps and state.stamps[key].offset >= offset for key in stamped)


_PROFILE_COLUMNS = frozenset(
    {
        "items_discovered",
        "items_succeeded",
        "items_failed",
        "items_skipped",
        "git_commit_hash",
        "git_commit_source",
        "git_commit_author",
        "git_commit_timestamp",
    }
)


def is_too_large(event: Mapping[str, Any]) -> bool:
    """Say whether an event's texts are more than the log takes."""
    texts = (value for value in event.values() if isinstance(value, str))
    return sum(len(text.encode()) for text in texts) > _LONGEST_TEXTS_BYTES


def _in_full(start: Fact, values: Fields, name: str) -> Fact:
    """Return a start with what an import leaves out: empty texts, and a run id that is no name."""
    blank = {key: value for key, value in values.items() if value == ""}
    said = run_fields(blank)
    attributes = {**start.fields.get("attributes", {}), **said.pop("attributes", {})}
    if "start_time" in blank:
        attributes["start_time"] = ""
    if plain_name(name, values["event_id"]) != values["run_id"]:
        attributes["run_id"] = values["run_id"]
    return start._replace(fields={**said, **start.fields, "attributes": attributes})


def _event(fact: Fact, name: str) -> Fields:
    event: Fields = {
        "event_id": fact.event_id,
        "run_id": name,
        "event_type": fact.kind.value,
        **{key: value for key, value in fact.fields.items() if value is not None},
    }
    if "attributes" in event:
        event["attributes"] = orjson.dumps(event["attributes"]).decode()
    return event


def _started_at(record: NewRun) -> int:
    """Return when a run started, as far as anything tells."""
    told = map(_microseconds, (record.start_time, record.created_at))
    return next(_there(told), time.time_ns() // 1000)


def _after(state: RunState, at: int | None) -> int:
    """Return `at`, default now, or when the run was changed last, whichever is later."""
    changed = [stamp.occurred_at for stamp in state.stamps.values()]
    return max([time.time_ns() // 1000 if at is None else at, *changed])


def _there(found: Iterator[int | None]) -> Iterator[int]:
    return (each for each in found if each is not None)


def _microseconds(text: str | None) -> int | None:
    moment = parse_time(text)
    return None if moment is None else occurred_at_us(moment)
