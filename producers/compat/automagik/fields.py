"""What a call of the Automagik SDK becomes in an event."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Mapping
from typing import Any

from runfold.producers.compat.automagik.client_config import TelemetryConfig
from runfold.producers.compat.automagik.privacy import (
    PrivacyConfig,
    sanitize_telemetry_data,
    sanitize_value,
)
from runfold.producers.tame import Tamer

LONGEST_ATTRIBUTE = 500
LONGEST_MESSAGE = 1000
_LONGEST_CLEANED = 16 * 1024
_CLEANING = PrivacyConfig(max_string_length=2 * _LONGEST_CLEANED)
"""Cleans before it cuts, so that no half of a secret is left at the end."""

_COLUMNS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "duration_ms": ("duration_ms", (int, float)),
    "error_type": ("error_type", str),
    "error_message": ("error_message", str),
    "trace_id": ("trace_id", str),
    "span_id": ("span_id", str),
    "session.id": ("session_id", str),
    "user.id": ("user_id", str),
}
"""Attributes that have a column of their own, and what they must be to go there as well."""


def clean_attributes(given: object) -> dict[str, Any]:
    """Return attributes without secrets and personal data, as plain JSON, never too long.

    Shape: what is no dict is kept under `attributes`.
    Units: texts of at most 500 characters.
    """
    if not given:
        return {}
    tamed = Tamer(_LONGEST_CLEANED).tame(given, "")
    attributes = tamed if isinstance(tamed, dict) else {"attributes": tamed}
    cleaned: dict[str, Any] = _cut(
        sanitize_telemetry_data(attributes, _CLEANING), LONGEST_ATTRIBUTE
    )
    return cleaned


def clean_text(given: object, longest: int) -> str:
    """Return a text without secrets and personal data."""
    text = str(Tamer(_LONGEST_CLEANED).tame(given, ""))
    return str(sanitize_value(text, _CLEANING))[:longest]


def columns_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that attributes fill."""
    return {
        column: attributes[name]
        for name, (column, wanted) in _COLUMNS.items()
        if isinstance(attributes.get(name), wanted) and not isinstance(attributes[name], bool)
    }


def system_attributes(config: TelemetryConfig) -> dict[str, Any]:
    """Return the eight attributes that say where a project runs."""
    return {
        **_machine(),
        "system.project_name": config.project_name,
        "system.project_version": config.version,
        "system.organization": config.organization,
    }


@functools.cache
def _machine() -> dict[str, Any]:
    return {
        "system.os": platform.system(),
        "system.os_version": platform.release(),
        "system.python_version": platform.python_version(),
        "system.architecture": platform.machine(),
        "system.is_docker": os.path.exists("/.dockerenv"),  # noqa: PTH110  never raises
    }


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value[:longest]
    if isinstance(value, dict):
        return {key: _cut(each, longest) for key, each in value.items()}
    return [_cut(each, longest) for each in value] if isinstance(value, list) else value
