"""Who may call the runs API, and how often: by the replaced service's variables, or by keys."""

from __future__ import annotations

import hmac
import time
from collections import deque

from fastapi import Request

from runfold.producers.collector.access import Caller, KeyRefused, OpenAccess, Scope
from runfold.producers.collector.collector import Collector, bearer_of
from runfold.producers.collector.problems import Problem
from runfold.producers.collector.runs_api.settings import RunsApiSettings

_USE = "Use: Authorization: Bearer <token>"
_CHALLENGE = (("WWW-Authenticate", "Bearer"),)
_WINDOW_SECONDS = 60.0
_MOST_PEERS = 10_000


class Guard:
    """Admits requests. Used from one event loop."""

    def __init__(self, collector: Collector, settings: RunsApiSettings) -> None:
        self._collector = collector
        self._token = settings.token
        self._most = settings.requests_a_minute
        self._times: dict[str, deque[float]] = {}

    def writer(self, request: Request) -> Caller:
        """Return who may write. Raises: Problem 401, 403, 429."""
        caller = self._admit(request, Scope.INGEST, needs_token=self._token is not None)
        self._count(request)
        return caller

    def reader(self, request: Request) -> Caller:
        """Return who may read: everybody, where there are no keys. Raises: as `writer`."""
        caller = self.uncounted_reader(request)
        self._count(request)
        return caller

    def uncounted_reader(self, request: Request) -> Caller:
        """Return who may read, of what has no limit. Raises: Problem 401, 403."""
        return self._admit(request, Scope.READ, needs_token=False)

    def _count(self, request: Request) -> None:
        """Count a request of an address. Raises: Problem 429 for one too many."""
        if self._most is None:
            return
        now = time.monotonic()
        peer = request.client.host if request.client else ""
        if peer not in self._times and len(self._times) >= _MOST_PEERS:
            self._forget_before(now - _WINDOW_SECONDS)
        times = self._times.setdefault(peer, deque())
        while times and times[0] <= now - _WINDOW_SECONDS:
            times.popleft()
        if len(times) >= self._most:
            message = f"Rate limit exceeded. Max {self._most} requests per minute."
            limits = (("X-RateLimit-Limit", str(self._most)), ("X-RateLimit-Remaining", "0"))
            raise Problem(429, message, headers=(("Retry-After", "60"), *limits))
        times.append(now)

    def _admit(self, request: Request, scope: Scope, *, needs_token: bool) -> Caller:
        presented = bearer_of(request)
        if self._token is not None and _same(presented, self._token):
            return Caller()
        if needs_token and isinstance(self._collector.access, OpenAccess):
            raise _refused(request)
        try:
            return self._collector.admit(request, presented, scope)
        except KeyRefused as error:
            raise _refused(request) from error

    def _forget_before(self, moment: float) -> None:
        self._times = {
            peer: times for peer, times in self._times.items() if times and times[-1] > moment
        }


def _same(presented: str | None, token: str) -> bool:
    return presented is not None and hmac.compare_digest(presented.encode(), token.encode())


def _refused(request: Request) -> Problem:
    header = request.headers.get("authorization")
    if bearer_of(request) is not None:
        message = "Invalid authentication token"
    elif header:
        message = f"Invalid authorization format. {_USE}"
    else:
        message = f"Authorization header required. {_USE}"
    return Problem(401, message, headers=_CHALLENGE)
