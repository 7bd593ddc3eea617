"""What a run record of the Local Telemetry client says, as fields of runfold's events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

COLUMNS = (
    "agent_owner",
    "job_type",
    "trigger_type",
    "environment",
    "host",
    "items_discovered",
    "items_succeeded",
    "items_failed",
    "items_skipped",
    "git_repo",
    "git_branch",
    "git_commit_hash",
    "git_commit_source",
    "git_commit_author",
    "git_commit_timestamp",
)
"""What has a field of its own in an event, under the same name."""

COUNTS = tuple(name for name in COLUMNS if name.startswith("items_"))
COMMIT_FIELDS = tuple(name for name in COLUMNS if name.startswith("git_commit_"))

ATTRIBUTES = (
    "event_id",
    "input_summary",
    "output_summary",
    "source_ref",
    "target_ref",
    "error_details",
    "metrics_json",
    "context_json",
    "insight_id",
    "product",
    "platform",
    "product_family",
    "subdomain",
    "website",
    "website_section",
    "item_name",
    "git_run_tag",
)
"""What goes into the attributes of an event, under the same name."""

AS_GIVEN = (
    "start_time",
    "end_time",
    "created_at",
    "updated_at",
    "duration_ms",
    "error_summary",
    "api_posted",
    "api_posted_at",
    "api_retry_count",
)
"""What is kept as it was given, beside what an event makes of it; zero is left out."""

_JSON = frozenset({"metrics_json", "context_json"})
_MOST_METRICS = 200


def run_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of its run, without how it ended.

    Shape: `metrics_json` and `context_json` are objects, also where the record has them as text.
    """
    fields = {name: record[name] for name in COLUMNS if record.get(name) is not None}
    attributes = {
        name: unpacked(record[name]) if name in _JSON else record[name]
        for name in ATTRIBUTES
        if record.get(name) is not None
    }
    attributes |= {name: record[name] for name in AS_GIVEN if record.get(name)}
    if attributes:
        fields["attributes"] = attributes
    return fields


def name_beside(run_id: str, event_id: str) -> str:
    """Return the name of a run whose run id another run has already."""
    digest = blake2b(event_id.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{run_id}~{digest}"


def plain_name(name: str, event_id: str) -> str:
    """Return the run id of a run that the log calls `name`: see `name_beside`."""
    run_id, mark, _ = name.rpartition("~")
    return run_id if mark and name_beside(run_id, event_id) == name else name


def metrics_of(metrics_json: Any) -> Iterator[tuple[str, float]]:
    """Yield the numbers at the top of `metrics_json`, which become metrics of the run.

    Shape: at most 200; all of it is in the attribute `metrics_json` too.
    """
    metrics = unpacked(metrics_json)
    if not isinstance(metrics, Mapping):
        return
    found = 0
    for name, value in metrics.items():
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and found < _MOST_METRICS
        ):
            number = _finite(value)
            if number is not None and isinstance(name, str) and name:
                found += 1
                yield name, number


def unpacked(value: Any) -> Any:
    """Return what a JSON text says; anything else as it is."""
    if not isinstance(value, (str, bytes)):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return value


def parse_time(text: Any) -> datetime | None:
    """Return an ISO 8601 time, in UTC where it names no zone; None where it is none."""
    if isinstance(text, datetime):
        found = text
    elif isinstance(text, str):
        try:
            found = datetime.fromisoformat(text.strip())
        except ValueError:
            return None
    else:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
