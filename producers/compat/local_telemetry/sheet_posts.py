"""Posting rows in the background, so that a slow sheet does not hold up an agent."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from weakref import WeakSet

from runfold.producers.compat.local_telemetry.api import APIClient
from runfold.producers.compat.local_telemetry.config import TelemetryConfig
from runfold.producers.compat.local_telemetry.models import APIPayload
from runfold.producers.fork import watch_forks

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
AT_EXIT_SECONDS = 5.0


def sheets_client(config: TelemetryConfig) -> APIClient | None:
    """Return what posts to the sheet that the settings ask for, None where they ask for none."""
    if not config.google_sheets_api_enabled:
        return None
    if not config.google_sheets_api_url:
        logger.warning("Google Sheets is enabled, but GOOGLE_SHEETS_API_URL not set")
        return None
    return APIClient(
        config.google_sheets_api_url, config.api_token, config.google_sheets_api_enabled
    )


class SheetPosts:
    """Posts rows in their order by a thread of its own.

    Delivery: at most once, as before: a row that the API does not take after its retries is
    logged and gone, as are the oldest of more than 1,000 that wait, and those that are left
    5 seconds after the interpreter began to exit. The run itself is in the log in any case.
    """

    _posting: bool

    def __init__(self, api_client: APIClient) -> None:
        self._api_client = api_client
        self._begin_anew()
        watch_forks(self)
        _all.add(self)

    def put(self, payload: APIPayload) -> None:
        """Take a row in; returns at once."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                logger.warning("a row is not posted: %d are waiting already", MOST_WAITING)
            self._waiting.append(payload)
            if not self._posting:
                threading.Thread(target=self._post_all, name="runfold-sheet", daemon=True).start()
                self._posting = True

    def wait(self, timeout: float) -> bool:
        """Wait until all rows are through; say whether they are. Units: `timeout` in seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._posting, timeout)

    @property
    def waiting(self) -> int:
        """How many rows are not posted yet."""
        return len(self._waiting)

    def after_fork_in_child(self) -> None:
        """Leave what waits to the parent."""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._waiting: deque[APIPayload] = deque()
        self._changed = threading.Condition()
        self._posting = False

    def _post_all(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._posting = False
                    self._changed.notify_all()
                    return
                payload = self._waiting.popleft()
            try:
                posted, message = self._api_client.post_run_sync(payload)
            except Exception as error:  # noqa: BLE001  or no row would be posted any more
                posted, message = False, f"[FAIL] {error}"
            if not posted:
                logger.warning("run %s is not in the sheet: %s", payload.run_id, message)


_all: WeakSet[SheetPosts] = WeakSet()


@atexit.register
def _post_what_is_left() -> None:
    deadline = time.monotonic() + AT_EXIT_SECONDS
    for each in list(_all):
        if not each.wait(max(deadline - time.monotonic(), 0.0)):
            logger.warning("%d rows were not posted before the exit", each.waiting + 1)
