"""Who the runs API lets in, and how often."""

from __future__ import annotations

import pytest
from fastapi import Request

from runfold.deploy.runs_api import runs_api_settings
from runfold.deploy.settings import load_settings
from runfold.producers.collector.access import Caller, KeyRefused, Scope
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.log_writer import LogWriter
from runfold.producers.collector.problems import Problem
from runfold.producers.collector.runs_api.guard import Guard
from runfold.producers.collector.runs_api.settings import RunsApiSettings
from runfold.schemas.errors import ConfigurationError


class OneKey:
    """Lets one key write."""

    def admit(self, presented: str | None, scope: Scope, peer: str) -> Caller:
        del peer
        if presented != "key" or scope is not Scope.INGEST:
            raise KeyRefused("no", missing=presented is None)
        return Caller("k1", project="ours")


def request(authorization: str | None = None, peer: str = "192.0.2.1") -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return Request({"type": "http", "headers": headers, "client": (peer, 1)})


def guard(settings: RunsApiSettings, access: OneKey | None = None) -> Guard:
    log = LogWriter("127.0.0.1:1")
    return Guard(Collector(log, access=access) if access else Collector(log), settings)


def test_a_key_and_the_token_both_let_in() -> None:
    both = guard(RunsApiSettings(token="t"), OneKey())
    assert both.writer(request("Bearer key")).project == "ours"
    assert both.writer(request("bearer t")) == Caller()
    assert both.reader(request("Bearer t")) == Caller()
    for wrong in (None, "Bearer x", "Bearer ", "Basic key"):
        with pytest.raises(Problem) as refused:
            both.writer(request(wrong))
        assert refused.value.status == 401
    with pytest.raises(Problem):
        both.reader(request("Bearer key"))


def test_the_token_may_be_any_text() -> None:
    with pytest.raises(Problem):
        guard(RunsApiSettings(token="schlüssel")).writer(request("Bearer schl"))


def test_the_window_slides_for_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    two = guard(RunsApiSettings(requests_a_minute=2))
    two.reader(request())
    now += 30
    two.writer(request())
    with pytest.raises(Problem) as refused:
        two.reader(request())
    assert refused.value.all_headers()["X-RateLimit-Limit"] == "2"
    two.reader(request(peer="192.0.2.2"))
    now += 30.5
    two.reader(request())
    with pytest.raises(Problem):
        two.reader(request())


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"TELEMETRY_API_AUTH_ENABLED": "1"}, "TELEMETRY_API_AUTH_TOKEN"),
        ({"TELEMETRY_API_AUTH_ENABLED": "maybe"}, "TELEMETRY_API_AUTH_ENABLED"),
        ({"TELEMETRY_RATE_LIMIT_RPM": "0"}, "TELEMETRY_RATE_LIMIT_RPM"),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=named):
        runs_api_settings(load_settings({}))


def test_what_is_not_enabled_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEMETRY_API_AUTH_TOKEN", "secret")
    monkeypatch.setenv("TELEMETRY_RATE_LIMIT_RPM", "5")
    assert runs_api_settings(load_settings({})) == RunsApiSettings()
