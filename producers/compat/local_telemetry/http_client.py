"""The runs API over HTTP, for agents that call it themselves."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any, Self

from runfold.producers.compat.local_telemetry.http_posting import Answer, Unreachable, send

logger = logging.getLogger(__name__)

_PROBE_SECONDS = 5.0
_REFUSED = frozenset({400, 422})


class APIError(Exception):
    """The server answered, but not with what was asked for."""


class APIValidationError(APIError):
    """The server says that what was sent is wrong."""


class APIUnavailableError(Exception):
    """No server answers, also after the retries."""


class HTTPAPIClient:
    """Calls the runs API of a Local Telemetry service, or of a collector that speaks it.

    Delivery: tried again where nobody answers, `max_retries` times in all with `retry_delay`
    seconds between. Units: `timeout` in seconds.
    """

    def __init__(
        self,
        api_url: str,
        timeout: float = 10,
        max_retries: int = 3,
        retry_delay: float = 1.0,
        auth_token: str | None = None,
    ) -> None:
        self.api_url = str(api_url).rstrip("/")
        self.timeout = timeout
        self.max_retries = max_retries
        self.retry_delay = retry_delay
        self._headers = {"Authorization": f"Bearer {auth_token}"} if auth_token else {}

    def post_event(self, event: dict[str, Any]) -> dict[str, Any]:
        """Post one run. Raises: APIUnavailableError, APIValidationError, APIError."""
        return self._call("POST", "/api/v1/runs", event, accepts=(200, 201), needs=("status",))

    def patch_event(self, event_id: str, update: dict[str, Any]) -> dict[str, Any]:
        """Change a run. Raises: APIUnavailableError, APIValidationError, APIError."""
        return self._call("PATCH", f"/api/v1/runs/{event_id}", update, accepts=(200,))

    def associate_commit(
        self,
        event_id: str,
        commit_hash: str,
        commit_source: str,
        commit_author: str | None = None,
        commit_timestamp: str | None = None,
    ) -> dict[str, Any]:
        """Say which commit a run made. Raises: as `patch_event`."""
        commit = {"commit_hash": commit_hash, "commit_source": commit_source}
        if commit_author:
            commit["commit_author"] = commit_author
        if commit_timestamp:
            commit["commit_timestamp"] = commit_timestamp
        path = f"/api/v1/runs/{event_id}/associate-commit"
        return self._call("POST", path, commit, accepts=(200,))

    def post_batch(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Post many runs. Raises: APIUnavailableError, APIValidationError, APIError."""
        if not events:
            return {"inserted": 0, "duplicates": 0, "errors": [], "total": 0}
        return self._call(
            "POST",
            "/api/v1/runs/batch",
            events,
            accepts=(200, 201),
            needs=("inserted", "duplicates", "errors"),
            timeout=2 * self.timeout,
        )

    def check_health(self) -> bool:
        """Say whether a server answers that it is well. Units: waits at most 5 s."""
        health = self._probe("/health")
        return health is not None and health.get("status") == "ok"

    def get_metrics(self) -> dict[str, Any] | None:
        """Return the server's totals, None where none answers. Units: waits at most 5 s."""
        return self._probe("/metrics")

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _probe(self, path: str) -> dict[str, Any] | None:
        try:
            answer = send(
                "GET", self.api_url + path, headers=self._headers, timeout_seconds=_PROBE_SECONDS
            )
            found = answer.json() if answer.status == 200 else None
        except (Unreachable, ValueError) as error:
            logger.debug("%s%s: %s", self.api_url, path, error)
            return None
        return found if isinstance(found, dict) else None

    def _call(
        self,
        method: str,
        path: str,
        content: Any,
        *,
        accepts: tuple[int, ...],
        needs: tuple[str, ...] = (),
        timeout: float | None = None,
    ) -> dict[str, Any]:
        url = self.api_url + path
        answer = self._send(method, url, content, timeout or self.timeout)
        if answer.status in _REFUSED:
            raise APIValidationError(f"{url} refuses what was sent: {answer.text}")
        if answer.status not in accepts:
            raise APIError(f"{url} answered HTTP {answer.status}: {answer.text}")
        try:
            found = answer.json()
        except ValueError as error:
            raise APIError(f"{url} answered with what is no JSON") from error
        if not isinstance(found, dict) or any(name not in found for name in needs):
            raise APIError(f"{url} answered without {' or '.join(needs) or 'an object'}")
        return found

    def _send(self, method: str, url: str, content: Any, timeout: float) -> Answer:
        problem: Exception | None = None
        for attempt in range(self.max_retries):
            if attempt:
                time.sleep(self.retry_delay)
            try:
                return send(
                    method, url, content=content, headers=self._headers, timeout_seconds=timeout
                )
            except Unreachable as error:
                logger.warning("attempt %d of %d: %s", attempt + 1, self.max_retries, error)
                problem = error
            except (TypeError, ValueError) as error:
                raise APIError(f"cannot be sent to {url}: {error}") from error
        raise APIUnavailableError(f"Cannot reach telemetry API at {url}: {problem}") from problem
