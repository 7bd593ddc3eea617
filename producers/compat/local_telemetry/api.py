"""Posting rows to a Google Sheet, or any other API that takes them."""

from __future__ import annotations

import asyncio
import time

from runfold.producers.compat.local_telemetry.config import is_true
from runfold.producers.compat.local_telemetry.http_posting import (
    Answer,
    TimedOut,
    Unreachable,
    send,
)
from runfold.producers.compat.local_telemetry.models import APIPayload

_OK, _METHOD_NOT_ALLOWED, _FIRST_REFUSAL, _FIRST_SERVER_ERROR = 200, 405, 400, 500
_TEST_SECONDS = 5.0


class APIClient:
    """Posts rows one by one; no method raises.

    Delivery: tried again after 1 and 2 seconds where the server fails or does not answer; what it
    refuses is not. Success is HTTP 200 and nothing else.
    """

    def __init__(
        self,
        google_sheets_api_url: str | None,
        api_token: str | None,
        google_sheets_api_enabled: bool = False,
        max_retries: int = 3,
        timeout: float = 10.0,
    ) -> None:
        self.google_sheets_api_url = google_sheets_api_url
        self.api_token = api_token
        self.google_sheets_api_enabled = google_sheets_api_enabled
        self.max_retries = max_retries
        self.timeout = timeout
        self.retry_delays = [1.0, 2.0, 4.0]

    def is_configured(self) -> bool:
        """Say whether there is a URL, and a token where METRICS_API_AUTH_REQUIRED asks for one."""
        token_missing = is_true("METRICS_API_AUTH_REQUIRED") and not self.api_token
        return bool(self.google_sheets_api_url) and not token_missing

    def post_run_sync(self, payload: APIPayload) -> tuple[bool, str]:
        """Post one row; return whether the server took it, and a message."""
        if not self.google_sheets_api_enabled:
            return False, "[SKIP] API posting disabled (GOOGLE_SHEETS_API_ENABLED=false)"
        if not self.is_configured():
            return False, "[SKIP] API not configured (missing URL or token)"
        failure = ""
        for attempt in range(1, self.max_retries + 1):
            try:
                answer = self._post(payload)
            except TimedOut:
                failure = "Request timeout"
            except Unreachable as error:
                failure = f"Request error: {error}"
            except Exception as error:  # noqa: BLE001  the row may hold anything
                return False, f"[FAIL] Unexpected API error: {error}"
            else:
                if answer.status == _OK:
                    return True, f"[OK] Posted to API (attempt {attempt})"
                if answer.status < _FIRST_SERVER_ERROR:
                    return False, _refused(answer.status)
                failure = f"HTTP {answer.status}"
            if attempt < self.max_retries:
                time.sleep(self.retry_delays[min(attempt, len(self.retry_delays)) - 1])
        return False, f"[FAIL] API post failed after {self.max_retries} attempts: {failure}"

    async def post_run_async(self, payload: APIPayload) -> tuple[bool, str]:
        """Do the same as `post_run_sync` without holding up the event loop."""
        return await asyncio.to_thread(self.post_run_sync, payload)

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the URL answers, and a message."""
        if not self.is_configured():
            return False, "[FAIL] API not configured"
        try:
            answer = send("GET", str(self.google_sheets_api_url), timeout_seconds=_TEST_SECONDS)
        except (Unreachable, ValueError) as error:
            return False, f"[FAIL] API connection test failed: {error}"
        if answer.status in (_OK, _METHOD_NOT_ALLOWED):
            return True, "[OK] API endpoint reachable"
        return False, f"[FAIL] API returned status {answer.status}"

    def _post(self, payload: APIPayload) -> Answer:
        headers = {"Authorization": f"Bearer {self.api_token}"} if self.api_token else {}
        return send(
            "POST",
            str(self.google_sheets_api_url),
            content=payload.to_dict(),
            headers=headers,
            timeout_seconds=self.timeout,
        )


def _refused(status: int) -> str:
    if status >= _FIRST_REFUSAL:
        return f"[FAIL] API refused the row: HTTP {status} (not retried)"
    return f"[FAIL] API answered HTTP {status} instead of 200 (not retried)"
