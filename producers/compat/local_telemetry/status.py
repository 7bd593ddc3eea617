"""The statuses of runs and their spellings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

CANONICAL_STATUSES = ["running", "success", "failure", "partial", "timeout", "cancelled"]
STATUS_ALIASES = {
    "failed": "failure",
    "completed": "success",
    "succeeded": "success",
    "canceled": "cancelled",
}


def normalize_status(value: Any) -> Any:
    """Return the canonical status that a text spells, the text trimmed in lower case where none.

    Shape: what is no text is returned as it is.
    """
    if not isinstance(value, str):
        return value
    folded = value.strip().lower()
    return STATUS_ALIASES.get(folded, folded)


def normalize_status_list(values: Iterable[Any] | None) -> list[Any]:
    """Return the canonical statuses of all that are not None."""
    return [normalize_status(value) for value in values or () if value is not None]


def is_valid_status(value: Any) -> bool:
    """Say whether a value spells one of the canonical statuses."""
    return isinstance(value, str) and normalize_status(value) in CANONICAL_STATUSES
