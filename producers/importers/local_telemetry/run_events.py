"""The events that stored records become."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from runfold.producers.event_line import line_rest
from runfold.producers.importers.local_telemetry.rows import (
    EVENT_ID_PREFIX,
    StoredCommit,
    StoredEvent,
    StoredRun,
    doubtful_fields,
    shortened_id,
)
from runfold.producers.local_telemetry_fields import (
    COMMIT_FIELDS,
    COUNTS,
    metrics_of,
    run_fields,
    unpacked,
)
from runfold.producers.shipping import parse_line
from runfold.schemas.vocabulary import EventType

Fields = dict[str, Any]

_KNOWN_AT_THE_END = frozenset(
    {
        *COUNTS,
        "output_summary",
        "error_summary",
        "error_details",
        "metrics_json",
        "end_time",
        "duration_ms",
    }
)
_COMMIT_COLUMNS = {
    "git_commit_hash": "commit_hash",
    "git_commit_author": "author",
    "git_commit_timestamp": "commit_date",
    "git_repo": "repo",
    "git_branch": "branch",
}
_COMMIT_ATTRIBUTES = ("message", "files_changed", "insertions", "deletions")


class Fact(NamedTuple):
    """One event before it is checked: `fields` may hold what does not fit their columns."""

    event_id: str
    kind: EventType
    fields: Fields


def run_events(run: StoredRun, name: str) -> Iterator[Fields]:
    """Yield the events of a run, as far as its record knows them."""
    for fact in run_facts(run):
        yield _event(fact.event_id, name, fact.kind, fact.fields)


def run_facts(run: StoredRun) -> Iterator[Fact]:
    """Yield what a record tells of its run, its start first."""
    values = {key: value for key, value in run.values.items() if key not in COMMIT_FIELDS}
    yield Fact(run.event_id("started"), EventType.RUN_STARTED, _started(run, values))
    if run.ended_at is not None:
        for metric, value in metrics_of(values.get("metrics_json")):
            event_id = run.event_id(f"metric-{shortened_id(metric)}")
            fields = {"name": metric, "value": value, "occurred_at": run.ended_at}
            yield Fact(event_id, EventType.METRIC_RECORDED, fields)
        yield Fact(run.event_id("ended"), EventType.RUN_ENDED, _ended(run, values))
    commit = {key: run.values[key] for key in COMMIT_FIELDS if run.values.get(key)}
    if commit:
        fields = {**commit, "occurred_at": run.ended_at or run.started_at}
        event_id = run.event_id(f"commit-{digest(commit)}")
        yield Fact(event_id, EventType.COMMIT_ASSOCIATED, fields)


def logged_event(logged: StoredEvent, name: str, nth: int) -> Fields:
    """Return the event that an agent logged. Shape: `nth` counts like ones in one file from 0."""
    kind, payload = logged.values["event_type"], unpacked(logged.values.get("payload_json"))
    identity = digest([logged.run_id, kind, logged.values.get("timestamp"), payload])
    event_id = f"{EVENT_ID_PREFIX}{identity}{f'-{nth}' if nth else ''}"
    fields = {"name": kind, "attributes": payload, "occurred_at": logged.at}
    return _event(event_id, name, EventType.CUSTOM, fields)


def commit_event(commit: StoredCommit, name: str) -> Fields:
    """Return the event that a row of the table `commits` is."""
    fields = {key: commit.values.get(column) for key, column in _COMMIT_COLUMNS.items()}
    fields["attributes"] = {
        each: commit.values[each]
        for each in _COMMIT_ATTRIBUTES
        if commit.values.get(each) is not None
    }
    identity = digest([commit.run_id, commit.values["commit_hash"]])
    return _event(
        f"{EVENT_ID_PREFIX}{identity}-commit",
        name,
        EventType.COMMIT_ASSOCIATED,
        {**fields, "occurred_at": commit.at},
    )


def _started(run: StoredRun, values: Mapping[str, Any]) -> Fields:
    ended = run.ended_at is not None
    known = {
        key: value
        for key, value in values.items()
        if value not in (0, "") and not (ended and key in _KNOWN_AT_THE_END)
    }
    fields = run_fields(known)
    fields["agent_name"] = values.get("agent_name")
    fields["parent_run_id"] = values.get("parent_run_id") or None
    fields["occurred_at"] = run.started_at
    return fields


def _ended(run: StoredRun, values: Mapping[str, Any]) -> Fields:
    fields = run_fields(values)
    fields["status"] = run.status
    fields["error_message"] = values.get("error_summary")
    fields["duration_ms"] = values.get("duration_ms") or None
    fields["occurred_at"] = run.ended_at
    doubtful = {f"reported_{name}": values[name] for name in doubtful_fields(values)}
    if doubtful:
        fields["attributes"] = {**fields.get("attributes", {}), **doubtful}
    return fields


def _event(event_id: str, run_id: str, kind: EventType, fields: Mapping[str, Any]) -> Fields:
    """Return one event as a publisher takes it; values that do not fit go to its attributes."""
    begin = orjson.dumps({"run_id": run_id, "event_id": event_id})[:-2]
    return parse_line(begin + line_rest(kind.value, dict(fields)))


def digest(value: Any) -> str:
    """Return 24 digits that are the same for the same JSON value."""
    text = json.dumps(value, sort_keys=True)  # takes numbers of any size, as the files do
    return blake2b(text.encode(), digest_size=12).hexdigest()
