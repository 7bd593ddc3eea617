"""The events that stored records become."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

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

_KNOWN_AT_THE_END = frozenset({*COUNTS, "output_summary", "error_details", "metrics_json"})
_COMMIT_COLUMNS = {
    "git_commit_hash": "commit_hash",
    "git_commit_author": "author",
    "git_commit_timestamp": "commit_date",
    "git_repo": "repo",
    "git_branch": "branch",
}
_COMMIT_ATTRIBUTES = ("message", "files_changed", "insertions", "deletions")


def run_events(run: StoredRun, name: str) -> Iterator[Fields]:
    """Yield the events of a run, as far as its record knows them."""
    values = {key: value for key, value in run.values.items() if key not in COMMIT_FIELDS}
    yield _event(run.event_id("started"), name, EventType.RUN_STARTED, _started(run, values))
    if run.ended_at is not None:
        for metric, value in metrics_of(values.get("metrics_json")):
            event_id = run.event_id(f"metric-{shortened_id(metric)}")
            fields = {"name": metric, "value": value, "occurred_at": run.ended_at}
            yield _event(event_id, name, EventType.METRIC_RECORDED, fields)
        yield _event(run.event_id("ended"), name, EventType.RUN_ENDED, _ended(run, values))
    commit = {key: run.values[key] for key in COMMIT_FIELDS if run.values.get(key)}
    if commit:
        fields = {**commit, "occurred_at": run.ended_at or run.started_at}
        event_id = run.event_id(f"commit-{_digest(commit)}")
        yield _event(event_id, name, EventType.COMMIT_ASSOCIATED, fields)


def logged_event(logged: StoredEvent, name: str, nth: int) -> Fields:
    """Return the event that an agent logged. Shape: `nth` counts like ones in one file from 0."""
    kind, payload = logged.values["event_type"], unpacked(logged.values.get("payload_json"))
    identity = _digest([logged.run_id, kind, logged.values.get("timestamp"), payload])
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
    identity = _digest([commit.run_id, commit.values["commit_hash"]])
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


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)  # takes numbers of any size, as the files do
    return blake2b(text.encode(), digest_size=12).hexdigest()
