"""Python's `logging`: a handler that records what is logged during a run.

logging.getLogger().addHandler(RunLogHandler(client))
"""

from __future__ import annotations

import logging
import threading
import traceback
from typing import Any

from runfold.producers.client import Client
from runfold.producers.context import current_run
from runfold.producers.hooks.harmless import harmless
from runfold.producers.tame import message_of
from runfold.schemas.vocabulary import EventType

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SEVERITIES = (
    (logging.CRITICAL, 21),
    (logging.ERROR, 17),
    (logging.WARNING, 13),
    (logging.INFO, 9),
    (logging.DEBUG, 5),
    (logging.NOTSET, 1),
)
"""Python's levels and OpenTelemetry's numbers for them."""


_SHIPPER = "runfold-shipper"
"""The thread that ships events: to ship what it logs would make it log more."""


class RunLogHandler(logging.Handler):
    """Records each log record as `log.written` of the run that it was logged in.

    Shape: `name` is the level; `message`, `logger`, `severity_number`, `location` and what was
    given as `extra` are attributes. An exception logged as an error is `error.raised` too. What is
    logged outside of any run belongs to `run_id`, and is not recorded without one.
    """

    def __init__(
        self, client: Client, level: int | str = logging.NOTSET, *, run_id: str | None = None
    ) -> None:
        super().__init__(level)
        self._client = client
        self._run_id = run_id
        self._emitting = threading.local()

    @harmless
    def emit(self, record: logging.LogRecord) -> None:
        """Record one log record; what is logged meanwhile by the same thread is left out."""
        run_id = current_run.get() or self._run_id
        if run_id is None or record.threadName == _SHIPPER or getattr(self._emitting, "now", False):
            return
        self._emitting.now = True
        try:
            self._record(run_id, record)
        finally:
            self._emitting.now = False

    def _record(self, run_id: str, record: logging.LogRecord) -> None:
        occurred_at = int(record.created * 1_000_000)
        attributes: dict[str, Any] = {
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
            "message": _message(record),
            "logger": record.name,
            "severity_number": _severity(record.levelno),
            "location": f"{record.module}.{record.funcName}:{record.lineno}",
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            attributes["exception.type"] = type(error).__qualname__
            attributes["exception.message"] = message_of(error)
            attributes["exception.stacktrace"] = "".join(traceback.format_exception(error))
        self._client.event(
            run_id,
            EventType.LOG_WRITTEN.value,
            name=record.levelname.lower(),
            occurred_at=occurred_at,
            attributes=attributes,
        )
        if error is not None and record.levelno >= logging.ERROR:
            self._client.event(
                run_id,
                EventType.ERROR_RAISED.value,
                name=record.name,
                occurred_at=occurred_at,
                error_type=type(error).__qualname__,
                error_message=message_of(error),
            )


def _message(record: logging.LogRecord) -> object:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  arguments that do not fit the text, or a __str__ that raises
        return [record.msg, record.args]  # the client keeps what can be kept of them


def _severity(level: int) -> int:
    return next((number for least, number in _SEVERITIES if level >= least), 1)
