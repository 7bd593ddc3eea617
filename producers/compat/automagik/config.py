"""The small configuration of the Automagik SDK: checked, then merged with the environment.

It is what `create_config` is about; the client takes the larger `TelemetryConfig` of `client`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from runfold.producers.compat.automagik import client_config

DEFAULT_CONFIG: dict[str, str | int | bool] = {
    "endpoint": "https://telemetry.namastex.ai/v1/traces",
    "organization": "namastex",
    "timeout": 5,  # seconds
    "enabled": False,
    "verbose": False,
}

ENV_VARS = {
    "ENABLED": "AUTOMAGIK_TELEMETRY_ENABLED",
    "ENDPOINT": "AUTOMAGIK_TELEMETRY_ENDPOINT",
    "VERBOSE": "AUTOMAGIK_TELEMETRY_VERBOSE",
    "TIMEOUT": "AUTOMAGIK_TELEMETRY_TIMEOUT",
}

TRUE_WORDS = ("true", "1", "yes", "on")
_LONGEST_TIMEOUT_SECONDS = 60


@dataclass
class TelemetryConfig:
    """A configuration of which parts may be missing. Units: `timeout` in seconds."""

    project_name: str
    version: str
    endpoint: str | None = None
    organization: str | None = None
    timeout: int | None = None
    enabled: bool | None = None
    verbose: bool | None = None


@dataclass
class ValidatedConfig:
    """A configuration with nothing missing. Units: `timeout` in seconds."""

    project_name: str
    version: str
    endpoint: str
    organization: str
    timeout: int
    enabled: bool
    verbose: bool


AnyConfig = TelemetryConfig | client_config.TelemetryConfig


def load_config_from_env() -> TelemetryConfig:
    """Return what the environment says; a timeout that is no positive number says nothing."""
    return TelemetryConfig(
        project_name="",
        version="",
        endpoint=os.environ.get(ENV_VARS["ENDPOINT"]) or None,
        timeout=_timeout(os.environ.get(ENV_VARS["TIMEOUT"], "")),
        enabled=_switch(os.environ.get(ENV_VARS["ENABLED"])),
        verbose=_switch(os.environ.get(ENV_VARS["VERBOSE"])),
    )


def merge_config(user_config: AnyConfig) -> ValidatedConfig:
    """Return a whole configuration: the user's, else the environment's, else the defaults."""
    found, default = load_config_from_env(), DEFAULT_CONFIG
    return ValidatedConfig(
        project_name=user_config.project_name,
        version=user_config.version,
        endpoint=str(user_config.endpoint or found.endpoint or default["endpoint"]),
        organization=str(user_config.organization or default["organization"]),
        timeout=int(user_config.timeout or found.timeout or default["timeout"]),
        enabled=_first(user_config.enabled, found.enabled),
        verbose=_first(user_config.verbose, found.verbose),
    )


def validate_config(config: AnyConfig) -> None:
    """Check a configuration. Raises: ValueError that names the field."""
    for field in ("project_name", "version"):
        if not (getattr(config, field) or "").strip():
            raise ValueError(f"TelemetryConfig: {field} is required and cannot be empty")
    if config.endpoint is not None:
        _validate_endpoint(config.endpoint)
    timeout = config.timeout
    if timeout is not None:
        if not isinstance(timeout, int) or timeout <= 0:
            raise ValueError(
                f"TelemetryConfig: timeout must be a positive integer (got: {timeout})"
            )
        if timeout > _LONGEST_TIMEOUT_SECONDS:
            raise ValueError(
                f"TelemetryConfig: timeout should not exceed {_LONGEST_TIMEOUT_SECONDS} seconds"
                f" (got: {timeout})"
            )
    if config.organization is not None and not config.organization.strip():
        raise ValueError("TelemetryConfig: organization cannot be empty if provided")


def create_config(user_config: AnyConfig) -> ValidatedConfig:
    """Validate, then merge. Raises: ValueError that names the field."""
    validate_config(user_config)
    return merge_config(user_config)


def _validate_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        raise ValueError(
            f"TelemetryConfig: endpoint must be a valid URL (got: {endpoint})"
        ) from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("TelemetryConfig: endpoint must use http or https protocol")
    if not parts.netloc:
        raise ValueError(f"TelemetryConfig: endpoint must be a valid URL (got: {endpoint})")


def _switch(text: str | None) -> bool | None:
    return None if text is None else text.strip().lower() in TRUE_WORDS


def _timeout(text: str) -> int | None:
    try:
        seconds = int(text)
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _first(*given: bool | None) -> bool:
    return next((bool(each) for each in given if each is not None), False)
