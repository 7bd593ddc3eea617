"""One HTTP request, by the standard library: no redirects are followed."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whatever its status."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return what the body says. Raises: ValueError where it is no JSON."""
        return json.loads(self.body)


class Unreachable(Exception):
    """Nobody answered: refused, broken off, or no such host."""


class TimedOut(Unreachable):
    """No answer came in time."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: Any, **named: Any) -> None:
        del given, named


_opener = urllib.request.build_opener(_NoRedirects)


def send(
    method: str,
    url: str,
    *,
    content: Any = None,
    headers: dict[str, str] | None = None,
    timeout_seconds: float,
) -> Answer:
    """Send one request, `content` as JSON, and return the answer.

    Raises: Unreachable, TimedOut; ValueError where `url` is none of http or https, or `content`
    is no JSON.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"no http or https URL: {url}")
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    if body is not None:
        request.add_header("Content-Type", "application/json")
    try:
        try:
            with _opener.open(request, timeout=timeout_seconds) as response:
                return Answer(response.status, response.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, refused.read())
    except TimeoutError as error:
        raise TimedOut(f"no answer within {timeout_seconds:g} s") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise TimedOut(f"no answer within {timeout_seconds:g} s") from error
        raise Unreachable(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(str(error) or type(error).__name__) from error
