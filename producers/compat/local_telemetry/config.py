"""Where the replaced client kept things and whom it told, from the same environment variables."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from runfold.producers.compat.local_telemetry.console import say

logger = logging.getLogger(__name__)

DEFAULT_API_URL = "http://localhost:8765"
_TRUE = frozenset({"true", "1", "yes", "on"})
_USUAL_BASES = (
    "/agent-metrics",
    "/opt/telemetry",
    "/data/telemetry",
    "D:/agent-metrics",
    "C:/agent-metrics",
    "~/.telemetry",
)


@dataclass
class TelemetryConfig:
    """Settings of a `TelemetryClient`.

    Shape: runs go to runfold's journal, whatever is set here. `write_ndjson` asks for the NDJSON
    files beside it; `from_env` sets it where TELEMETRY_NDJSON_DIR is set. `database_path`,
    `api_enabled` and `retry_backoff_factor` are read by nothing here.
    """

    metrics_dir: Path
    database_path: Path
    ndjson_dir: Path
    api_url: str | None
    google_sheets_api_url: str | None
    google_sheets_api_enabled: bool
    api_token: str | None
    api_enabled: bool
    retry_backoff_factor: float
    agent_owner: str | None
    test_mode: str | None
    skip_validation: bool = False
    write_ndjson: bool = True

    def __post_init__(self) -> None:
        self.metrics_dir = Path(self.metrics_dir)
        self.database_path = Path(self.database_path)
        self.ndjson_dir = Path(self.ndjson_dir)

    @classmethod
    def from_env(cls) -> Self:
        """Return the settings of the environment. Never raises: what is malformed is as unset."""
        env = os.environ.get
        database = env("TELEMETRY_DB_PATH")
        base = Path(database).parent.parent if database else _base_dir()
        ndjson = env("TELEMETRY_NDJSON_DIR")
        return cls(
            metrics_dir=base,
            database_path=Path(database) if database else base / "db" / "telemetry.sqlite",
            ndjson_dir=Path(ndjson) if ndjson else base / "raw",
            api_url=env("TELEMETRY_API_URL") or env("METRICS_API_URL") or DEFAULT_API_URL,
            google_sheets_api_url=env("GOOGLE_SHEETS_API_URL"),
            google_sheets_api_enabled=is_true("GOOGLE_SHEETS_API_ENABLED"),
            api_token=env("METRICS_API_TOKEN"),
            api_enabled=is_true("METRICS_API_ENABLED"),
            retry_backoff_factor=_number("TELEMETRY_RETRY_BACKOFF_FACTOR", 1.0),
            agent_owner=env("AGENT_OWNER"),
            test_mode=env("TELEMETRY_TEST_MODE"),
            skip_validation=is_true("TELEMETRY_SKIP_VALIDATION"),
            write_ndjson=bool(ndjson),
        )

    def validate(self, strict: bool = True) -> tuple[bool, list[str]]:
        """Return whether all is right, and what is not.

        Shape: folders that are missing are errors only when `strict` and not `skip_validation`;
        otherwise they are logged as warnings.
        """
        missing = self.missing_folders()
        errors = self.wrong_addresses()
        if strict and not self.skip_validation:
            errors = missing + errors
        else:
            for each in missing:
                logger.warning("Configuration warning: %s", each)
        return not errors, errors

    def missing_folders(self) -> list[str]:
        """Return which folders of the replaced client's storage do not exist."""
        folders = {
            "Metrics": self.metrics_dir,
            "Database": self.database_path.parent,
            "NDJSON": self.ndjson_dir,
        }
        return [
            f"{name} directory does not exist: {folder}"
            for name, folder in folders.items()
            if not _exists(folder)
        ]

    def wrong_addresses(self) -> list[str]:
        """Return what is wrong with the addresses to post to."""
        errors = []
        if self.google_sheets_api_enabled and not self.google_sheets_api_url:
            errors.append("GOOGLE_SHEETS_API_ENABLED=true but GOOGLE_SHEETS_API_URL not set")
        urls = {"TELEMETRY_API_URL": self.api_url}
        if self.google_sheets_api_enabled:
            urls["GOOGLE_SHEETS_API_URL"] = self.google_sheets_api_url
        errors += [
            f"{name} is no URL with a scheme and a host: {url}"
            for name, url in urls.items()
            if url and not _place(url)
        ]
        if is_true("METRICS_API_AUTH_REQUIRED") and not self.api_token:
            errors.append("METRICS_API_AUTH_REQUIRED=true but METRICS_API_TOKEN not set")
        if (
            len(urls) == 2
            and all(urls.values())
            and len({_place(each) for each in urls.values()}) == 1
        ):
            logger.warning("TELEMETRY_API_URL and GOOGLE_SHEETS_API_URL are the same host")
        return errors

    def is_test_mode(self) -> bool:
        """Say whether TELEMETRY_TEST_MODE is `mock` or `live`."""
        return self.test_mode in ("mock", "live")

    def is_mock_mode(self) -> bool:
        """Say whether TELEMETRY_TEST_MODE is `mock`."""
        return self.test_mode == "mock"

    def is_live_mode(self) -> bool:
        """Say whether TELEMETRY_TEST_MODE is `live`."""
        return self.test_mode == "live"

    def __str__(self) -> str:
        shown = {**vars(self), "api_token": "***REDACTED***" if self.api_token else None}
        return f"TelemetryConfig({', '.join(f'{name}={value}' for name, value in shown.items())})"

    __repr__ = __str__


def report_problems(config: TelemetryConfig) -> None:
    """Print what is wrong with the settings; folders of the old storage need not exist."""
    problems = config.wrong_addresses()
    if problems:
        say("[WARN] Telemetry configuration issues:")
        for each in problems:
            say(f"  - {each}")


def is_true(variable: str) -> bool:
    """Say whether an environment variable is one of true, 1, yes and on."""
    return os.environ.get(variable, "").strip().lower() in _TRUE


def _base_dir() -> Path:
    named = os.environ.get("TELEMETRY_BASE_DIR") or os.environ.get("AGENT_METRICS_DIR")
    if named:
        return Path(named)
    for usual in _USUAL_BASES:
        with suppress(RuntimeError):  # there is no home
            folder = Path(usual).expanduser()
            if _exists(folder):
                return folder
    return Path("D:/agent-metrics" if os.name == "nt" else "/agent-metrics")


def _exists(folder: Path) -> bool:
    try:
        return folder.exists()
    except (OSError, ValueError):
        return False


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    try:
        return float(text) if text else default
    except ValueError:
        logger.warning("%s is no number: %s", variable, text)
        return default


def _place(url: str | None) -> str | None:
    """Return HOST:PORT of a URL, None where it has no scheme or host."""
    try:
        parts = urlsplit(url or "")
    except (ValueError, TypeError, AttributeError):
        return None
    return parts.netloc or None if parts.scheme else None
