"""What a request is told that is not taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from runfold.producers.collector.agent_framework.answers import Invalid
from runfold.producers.collector.problems import Problem


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
