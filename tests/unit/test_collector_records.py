"""Events as records of the log: of whom they are, and which can never be one."""

from __future__ import annotations

from typing import Any

from runfold.producers.collector.access import Caller
from runfold.producers.collector.records import record_of
from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.errors import EventRejected
from runfold.schemas.event import Event


def event(**more: Any) -> dict[str, Any]:
    needed = {"event_id": "one", "run_id": "run", "event_type": "custom"}
    return {**needed, "occurred_at": 1_763_700_000_000_000, **more}


def stored(given: dict[str, Any], caller: Caller) -> Event:
    made = record_of(given, caller)
    assert not isinstance(made, EventRejected)
    key, value = made
    found = decode_event(value)
    assert key == found.run_id.encode()
    return found


def refused(given: dict[str, Any], caller: Caller) -> EventRejected:
    made = record_of(given, caller)
    assert isinstance(made, EventRejected)
    return made


def test_an_event_of_anybody_stays_what_it_is() -> None:
    found = stored(event(project="theirs", host="a"), Caller())
    assert (found.project, found.host) == ("theirs", "a")


def test_an_event_is_of_its_callers_project_and_host_whatever_it_says() -> None:
    found = stored(event(project="theirs"), Caller("k", "ours", "a"))
    assert (found.project, found.host) == ("ours", "a")


def test_an_event_of_another_host_is_refused_by_name() -> None:
    error = refused(event(host="b"), Caller("k", host="a"))
    assert error.reason == "other_host"
    assert "host 'b': key k sends events of 'a' only" in error.message


def test_what_can_never_be_an_event_is_named() -> None:
    assert "input_tokens" in refused(event(input_tokens="many"), Caller()).message
    too_large = refused(event(attributes="x" * (1024 * 1024 + 1)), Caller())
    assert too_large.reason == "too_large"
