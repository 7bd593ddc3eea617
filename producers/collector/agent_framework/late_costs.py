"""Finds out what generations have cost, where their events did not say it, and adds it to the log.

Source: the cost worker of the Agent Framework's collector. Other than there, a cost is added once
and under an id made of its generation, so that several collectors, a restart or a replay add none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import NamedTuple, Self

import structlog

from runfold.producers.backoff import Backoff
from runfold.producers.collector.access import Caller
from runfold.producers.collector.agent_framework.items import LateCost
from runfold.producers.collector.agent_framework.mapping import cost_event
from runfold.producers.collector.agent_framework.openrouter import (
    OpenRouter,
    OpenRouterUnavailable,
    Spent,
)
from runfold.producers.collector.collector import Collector
from runfold.schemas.errors import BrokerUnavailable, EventRejected, LakeUnavailable, QueryFailed

API = "openrouter"

_WINDOW = timedelta(hours=24)
_RECENT = timedelta(minutes=10)
_LOOK_AT_ALL_EVERY_SECONDS = 300.0
"""Events may come to the lake late; in between only what is recent is looked at."""
_AT_ONCE = 50
_APART_SECONDS = 0.1
_MOST_TRIES = 6
_FIRST_AGAIN_SECONDS = 10.0
_AGAIN_FACTOR = 4.0
"""A generation may be known only some time after it: tries are 10 s, 40 s, … 43 min apart."""


class Uncosted(NamedTuple):
    """An event that names a generation, which may be several with commas between, and no cost.

    Units: `occurred_at` in microseconds since 1970 UTC. Shape: `has_tokens` where it tells them.
    """

    host: str
    session: str
    generation: str
    occurred_at: int
    has_tokens: bool = False
    agent: str | None = None
    model: str | None = None
    project: str | None = None


Find = Callable[[timedelta], Sequence[Uncosted]]
"""Returns what the log has taken in that time and is without its cost still; may take a while.

Raises: LakeUnavailable, QueryFailed.
"""


@dataclass(slots=True, eq=False)
class _Waiting:
    event: Uncosted
    due_at: float
    tries: int = 0
    found: dict[str, Spent] = field(default_factory=dict)

    @property
    def generations(self) -> list[str]:
        named = (each.strip() for each in self.event.generation.split(","))
        return list(dict.fromkeys(each for each in named if each))


class LateCosts:
    """Asks for costs as long as its context lasts.

    Delivery: a cost counts once, whoever finds it out and however often.
    Units: `every` is the pause between two looks.
    """

    def __init__(
        self,
        collector: Collector,
        openrouter: OpenRouter,
        find: Find,
        *,
        every: timedelta = timedelta(seconds=10),
    ) -> None:
        self._collector = collector
        self._openrouter = openrouter
        self._find = find
        self._every_seconds = every.total_seconds()
        self._known: dict[tuple[str, str, str], float] = {}
        self._waiting: list[_Waiting] = []
        self._all_seen_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._openrouter.__aenter__()
        structlog.get_logger(__name__).info("costs are asked for", at=self._openrouter.url)
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._openrouter.__aexit__(kind, error, trace)

    async def _work(self) -> None:
        backoff = Backoff(first_seconds=self._every_seconds, cap_seconds=60.0)
        log = structlog.get_logger(__name__)
        while True:
            pause = self._every_seconds
            try:
                await self._look()
                await self._ask()
            except OpenRouterUnavailable as error:
                log.warning("costs are asked for later", error=str(error))
                told = error.retry_after
                pause = backoff.next_seconds() if told is None else told.total_seconds()
            except (LakeUnavailable, QueryFailed, BrokerUnavailable) as error:
                log.warning("costs wait", error=str(error).partition("\n")[0])
                pause = backoff.next_seconds()
            except Exception:  # nobody waits for this task: it must not end unseen
                log.exception("costs wait")
                pause = backoff.next_seconds()
            else:
                backoff.reset()
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        """Take note of what is without its cost."""
        now = time.monotonic()
        at_all = now - self._all_seen_at >= _LOOK_AT_ALL_EVERY_SECONDS
        for event in await asyncio.to_thread(self._find, _WINDOW if at_all else _RECENT):
            key = (event.host, event.session, event.generation)
            if key not in self._known:
                self._waiting.append(_Waiting(event, due_at=now))
            self._known[key] = now
        if at_all:
            self._all_seen_at = now
            too_old = now - 2 * _LOOK_AT_ALL_EVERY_SECONDS
            self._known = {key: at for key, at in self._known.items() if at > too_old}

    async def _ask(self) -> None:
        """Ask for what is due, the oldest first."""
        now = time.monotonic()
        due = sorted(
            (each for each in self._waiting if each.due_at <= now),
            key=lambda each: each.event.occurred_at,
        )
        for each in due[:_AT_ONCE]:
            await self._ask_for(each)
            each.tries += 1
            each.due_at = time.monotonic() + _FIRST_AGAIN_SECONDS * _AGAIN_FACTOR ** (
                each.tries - 1
            )
            is_last = each.tries >= _MOST_TRIES
            if len(each.found) == len(each.generations) or is_last:
                await self._settle(each)
                self._waiting.remove(each)

    async def _ask_for(self, waiting: _Waiting) -> None:
        for generation in waiting.generations:
            if generation not in waiting.found:
                spent = await self._openrouter.spent(generation)
                if spent is not None:
                    waiting.found[generation] = spent
                await asyncio.sleep(_APART_SECONDS)

    async def _settle(self, waiting: _Waiting) -> None:
        """Put what is known into the log; nothing where nothing is."""
        event, log = waiting.event, structlog.get_logger(__name__)
        missing = [each for each in waiting.generations if each not in waiting.found]
        if missing:
            log.warning("nobody knows the cost", generations=missing, session=event.session)
        if not waiting.found:
            return
        late = _late_cost(event, sum(waiting.found.values(), Spent(0.0)))
        caller = Caller(project=event.project)
        [taken] = await self._collector.take(API, caller, [cost_event(late, event.occurred_at)])
        if isinstance(taken, EventRejected):
            log.warning("a cost is no event", error=str(taken), session=event.session)


def _late_cost(event: Uncosted, spent: Spent) -> LateCost:
    late = LateCost(
        hostId=event.host,
        sessionId=event.session,
        generationId=event.generation,
        cost=spent.cost_usd,
    )
    if event.agent is not None:
        late["agentName"] = event.agent
    if event.model is not None:
        late["modelName"] = event.model
    if not event.has_tokens:
        late["promptTokens"] = spent.prompt_tokens
        late["completionTokens"] = spent.completion_tokens
        late["cachedTokens"] = spent.cached_tokens
        late["reasoningTokens"] = spent.reasoning_tokens
    return late
