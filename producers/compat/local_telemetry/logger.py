"""The structured log lines of the replaced service, for programs that write them themselves."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger("telemetry_api")

_SLOW_MS = 1000
_LONGEST_MESSAGE = 500


class JSONFormatter(logging.Formatter):
    """Writes a record as one JSON object; `extra_fields` of the record are part of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one record."""
        line = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "extra_fields", {}),
        }
        return json.dumps(line, default=str)


def log_request(endpoint: str, method: str, **fields: Any) -> None:
    """Log a request."""
    _log(logging.INFO, f"{method} {endpoint}", endpoint=endpoint, method=method, **fields)


def log_query(query_params: dict[str, Any], result_count: int, duration_ms: float) -> None:
    """Log a query of runs. Units: `duration_ms` milliseconds; above 1,000 it is slow."""
    _log(
        logging.INFO,
        "Query executed",
        endpoint="/api/v1/runs",
        query_params=query_params,
        result_count=result_count,
        duration_ms=round(duration_ms, 2),
        is_slow=duration_ms > _SLOW_MS,
    )


def log_update(event_id: str, fields_updated: list[str], duration_ms: float, success: bool) -> None:
    """Log a change of a run. Units: `duration_ms` milliseconds."""
    _log(
        logging.INFO,
        "Run updated" if success else "Update failed",
        endpoint="/api/v1/runs/{event_id}",
        event_id=event_id,
        fields_updated=fields_updated,
        duration_ms=round(duration_ms, 2),
        success=success,
    )


def log_error(endpoint: str, error_type: str, error_message: str, **context: Any) -> None:
    """Log an error."""
    _log(
        logging.ERROR,
        f"Error in {endpoint}: {error_message}",
        endpoint=endpoint,
        error_type=error_type,
        error_message=error_message[:_LONGEST_MESSAGE],
        **context,
    )


@contextmanager
def track_duration() -> Iterator[Callable[[], float]]:
    """Give a function that returns the milliseconds since the block was entered."""
    started = time.perf_counter()
    yield lambda: (time.perf_counter() - started) * 1000


def _log(level: int, message: str, **fields: Any) -> None:
    logger.log(level, message, extra={"extra_fields": fields})
