"""What the table of the replaced service would not take."""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError

from runfold.producers.collector.runs_api.models import NewRun
from runfold.producers.compat.local_telemetry.status import CANONICAL_STATUSES, normalize_status
from runfold.producers.local_telemetry_fields import COUNTS

_COUNTED = (*COUNTS, "duration_ms", "api_retry_count")
STATUSES = ", ".join(f"'{each}'" for each in CANONICAL_STATUSES)


def with_status(record: NewRun) -> NewRun:
    """Return a record with its status as it is stored."""
    return record.model_copy(update={"status": normalize_status(record.status)})


def violation_of(record: NewRun) -> str | None:
    """Return the words in which the table refuses a record, None where it takes it."""
    if record.status not in CANONICAL_STATUSES:
        return f"CHECK constraint failed: status IN ({STATUSES})"
    negative = next((name for name in _COUNTED if (getattr(record, name) or 0) < 0), None)
    return None if negative is None else f"CHECK constraint failed: {negative} >= 0"


def invalid_status(status: str) -> RequestValidationError:
    """Return what is wrong with a status that nobody knows, in pydantic's form."""
    return RequestValidationError(
        [
            {
                "type": "literal_error",
                "loc": ["body", "status"],
                "msg": f"Input should be {STATUSES}",
                "input": status,
                "ctx": {"expected": STATUSES},
            }
        ]
    )


def invalid_record(record: NewRun) -> RequestValidationError:
    """Return what is wrong with a record that the table refuses, in pydantic's form."""
    if record.status not in CANONICAL_STATUSES:
        return invalid_status(record.status)
    name = next(name for name in _COUNTED if (getattr(record, name) or 0) < 0)
    error: dict[str, Any] = {
        "type": "greater_than_equal",
        "loc": ["body", name],
        "msg": "Input should be greater than or equal to 0",
        "input": getattr(record, name),
        "ctx": {"ge": 0},
    }
    return RequestValidationError([error])
