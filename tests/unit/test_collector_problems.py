"""What a request is told that is not taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest

from runfold.producers.collector.access import Caller, Scope
from runfold.producers.collector.agent_framework.answers import Invalid
from runfold.producers.collector.app import build_app
from runfold.producers.collector.clickhouse.routes import clickhouse_routes
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.log_writer import LogWriter
from runfold.producers.collector.problems import Problem


class Limited:
    """Lets nobody in before two seconds have passed."""

    def admit(self, presented: str | None, scope: Scope, peer: str) -> Caller:
        del presented, scope, peer
        raise Problem(429, "too many", timedelta(seconds=2))


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/events", 429), ("/v1/logs", 503), ("/?query=SELECT+1", 503)],
)
async def test_clients_that_give_up_at_429_are_told_503(path: str, status: int) -> None:
    collector = Collector(LogWriter("127.0.0.1:1"), access=Limited())
    transport = httpx.ASGITransport(build_app(collector, [clickhouse_routes(collector)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        answer = await client.post(path, json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "2")
    assert "too many" in answer.text


@contextmanager
def block() -> Iterator[None]:
    yield


@pytest.mark.parametrize("problem", [Problem(503, "busy"), Invalid([])])
def test_a_problem_passes_through_any_block(problem: Exception) -> None:
    with pytest.raises(type(problem)) as raised, block():
        raise problem
    assert raised.value is problem


@pytest.mark.parametrize(("seconds", "told"), [(0.01, "1"), (1.0, "1"), (1.4, "2"), (3.34, "4")])
def test_who_comes_back_when_told_is_not_too_early(seconds: float, told: str) -> None:
    problem = Problem(429, "wait", timedelta(seconds=seconds), (("X-More", "yes"),))
    assert problem.all_headers() == {"Retry-After": told, "X-More": "yes"}
