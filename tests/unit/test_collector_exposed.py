"""Where the collector may serve without keys."""

from __future__ import annotations

import asyncio

import pytest

from runfold.deploy.collector_keys import access_for
from runfold.deploy.settings import load_settings
from runfold.producers.collector.access import Access, KeyRefused, OpenAccess, Scope
from runfold.producers.collector.agent_framework import StartupKey
from runfold.producers.collector.problems import Problem
from runfold.producers.collector.server import Address
from runfold.producers.key_log import KeyLog
from runfold.schemas.access_key import AccessKey, digest_of
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError


class Keys:
    """Stands for the topic of keys, which says `found` or raises it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: dict[str, AccessKey] | BrokerUnavailable = {}
        monkeypatch.setattr(KeyLog, "read", lambda _: self.read())
        monkeypatch.setattr(KeyLog, "follow", lambda *_: asyncio.sleep(3600))

    async def read(self) -> dict[str, AccessKey]:
        if isinstance(self.found, BrokerUnavailable):
            raise self.found
        return self.found


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    return Keys(monkeypatch)


def access(*addresses: str, require_keys: bool = False) -> Access:
    """Return what lets clients in where a collector serves there."""

    async def enter() -> Access:
        settings = load_settings({}, broker="127.0.0.1:1", collector_require_keys=require_keys)
        parsed = [Address.parse(each, "collector_listen") for each in addresses]
        async with access_for(settings, parsed) as found:
            return found

    return asyncio.run(enter())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "[::1]"])
def test_an_address_of_this_machine_needs_no_key(host: str) -> None:
    assert isinstance(access(f"{host}:4318"), OpenAccess)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "[::]", "[]", "192.0.2.1", "[2001:db8::1]", "no.such.host."]
)
def test_an_address_that_others_reach_is_refused_without_a_key(host: str, keys: Keys) -> None:
    for found in ({}, {"a": AccessKey("a", b"", (Scope.INGEST,), 0, revoked_at=1)}):
        keys.found = found
        with pytest.raises(ConfigurationError, match="runfold keys create"):
            access("127.0.0.1:4318", f"{host}:4317")


def test_a_name_of_this_machine_and_of_others_is_reached_by_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(0, 0, 0, "", (each, 4318)) for each in ("127.0.0.1", "192.0.2.1")]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    assert not Address("both.example", 4318).is_loopback


def test_with_a_key_or_while_kafka_is_silent_nobody_comes_in_before_the_keys_are_read(
    keys: Keys,
) -> None:
    for found in (
        {"a": AccessKey("a", digest_of("secret"), (Scope.INGEST,), 0)},
        BrokerUnavailable("Kafka is silent"),
    ):
        keys.found = found
        with pytest.raises(Problem, match="not known yet"):
            access("0.0.0.0:4318").admit("secret", Scope.INGEST, "192.0.2.9")


def test_keys_may_be_required_on_this_machine_as_well(keys: Keys) -> None:
    del keys
    with pytest.raises(Problem, match="not known yet"):
        access("127.0.0.1:4318", require_keys=True).admit(None, Scope.READ, "127.0.0.1")


def test_the_agent_framework_s_key_is_one_and_lets_nobody_in_elsewhere(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.found = {}
    monkeypatch.setenv("AGENT_FRAMEWORK_API_KEY", "its own")
    with pytest.raises(Problem, match="not known yet"):
        access("0.0.0.0:3001").admit("its own", Scope.INGEST, "192.0.2.9")


@pytest.mark.parametrize("presented", ["its owm", "", None])
def test_the_agent_framework_s_key_lets_send_from_its_host_and_nothing_else(
    presented: str | None,
) -> None:
    key = StartupKey("its own", host="laptop")
    assert key.admit("its own", Scope.INGEST, "192.0.2.9").host == "laptop"
    for wrong, scope in ((presented, Scope.INGEST), ("its own", Scope.READ)):
        with pytest.raises(KeyRefused) as refused:
            key.admit(wrong, scope, "192.0.2.9")
        assert refused.value.missing is (wrong is None)
