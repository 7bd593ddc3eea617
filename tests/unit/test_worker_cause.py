"""Which error of ours ended a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from runfold.processors.worker import _cause
from runfold.schemas.errors import BrokerUnavailable, TooManyDeadLetters

NOTHING: Any = SimpleNamespace(crash_reason=None)


def test_it_is_found_in_what_led_to_the_end() -> None:
    ended = SystemExit(1)
    ended.__context__ = BrokerUnavailable("down")
    assert _cause(NOTHING, NOTHING, ended) is ended.__context__


def test_an_error_that_led_to_itself_is_looked_at_once() -> None:
    ended = SystemExit(1)
    ended.__cause__ = again = RuntimeError()
    again.__cause__ = ended
    assert _cause(NOTHING, NOTHING, ended) is None


def test_what_crashed_the_app_comes_first() -> None:
    crashed: Any = SimpleNamespace(crash_reason=TooManyDeadLetters("many"))
    assert _cause(NOTHING, crashed, BrokerUnavailable("down")) is crashed.crash_reason
