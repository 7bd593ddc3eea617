"""What generations have cost, as OpenRouter tells those whose key made them.

Source: `GET /generation?id=` of OpenRouter's API.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import aiohttp

_WITHIN = aiohttp.ClientTimeout(total=10)
_MOST_TOKENS = 10_000_000
_MOST_USD = 10_000.0
_WRONG_KEY_AGAIN_AFTER = timedelta(minutes=10)


class OpenRouterUnavailable(Exception):
    """It tells nothing now. Units: `retry_after` from now on, None where it does not say."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Spent:
    """What a generation has cost. Shape: `prompt_tokens` with those that a cache read."""

    cost_usd: float
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.cost_usd + other.cost_usd,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


class OpenRouter:
    """Asks OpenRouter at `url` with a key; an async context manager."""

    def __init__(self, url: str, key: str) -> None:
        self.url = f"{url.rstrip('/')}/generation"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=_WITHIN)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def spent(self, generation: str) -> Spent | None:
        """Return what one generation has cost, None where that is not known, or not yet.

        Raises: OpenRouterUnavailable.
        """
        try:
            async with self._session.get(
                self.url, params={"id": generation}, allow_redirects=False
            ) as answer:
                if answer.status == 200:
                    return _read(await answer.json(content_type=None))
                if answer.status in (400, 404):
                    return None
                raise _unavailable(answer)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise OpenRouterUnavailable(f"{type(error).__name__}: {error}") from error


def _unavailable(answer: aiohttp.ClientResponse) -> OpenRouterUnavailable:
    message = f"OpenRouter answers {answer.status}"
    if answer.status in (401, 402, 403):
        return OpenRouterUnavailable(f"{message}: is the key right?", _WRONG_KEY_AGAIN_AFTER)
    seconds = answer.headers.get("Retry-After", "")
    return OpenRouterUnavailable(
        message, timedelta(seconds=min(int(seconds), 3600)) if seconds.isdecimal() else None
    )


def _read(said: Any) -> Spent | None:
    """Return what an answer says. Raises: ValueError where it is none of OpenRouter's."""
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, dict):
        raise ValueError("the answer has no data")
    cost = data.get("total_cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)):
        return None
    if not (math.isfinite(cost) and 0 <= cost <= _MOST_USD):
        raise ValueError(f"total_cost: {cost} is no cost")
    return Spent(
        float(cost),
        *(
            _tokens(data.get(f"native_tokens_{kind}"))
            for kind in ("prompt", "completion", "cached", "reasoning")
        ),
    )


def _tokens(said: Any) -> int:
    whole = isinstance(said, (int, float)) and not isinstance(said, bool)
    return round(said) if whole and 0 <= said <= _MOST_TOKENS else 0
