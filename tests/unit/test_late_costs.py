"""Costs that OpenRouter is asked for afterwards: found in the lake, added once, or given up.

OpenRouter is a server of this machine here, which answers as its API does.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runfold.deploy.agent_framework import AgentFrameworkEnvironment
from runfold.deploy.late_costs import uncosted
from runfold.producers.collector.agent_framework import late_costs
from runfold.producers.collector.agent_framework.batches import check_batch
from runfold.producers.collector.agent_framework.late_costs import Find, LateCosts, Uncosted
from runfold.producers.collector.agent_framework.mapping import (
    attributes_of,
    event_ids,
    events_of,
)
from runfold.producers.collector.agent_framework.openrouter import (
    OpenRouter,
    OpenRouterUnavailable,
    Spent,
)
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.log_writer import LogWriter, Placed
from runfold.producers.collector.records import Record
from runfold.schemas.codec.decoder import decode_event
from runfold.schemas.event import Event
from tests.lakes_of_events import NOON_US, LakeOfEvents, now_us

DAY = timedelta(hours=24)
WAIT_SECONDS = 30


class FakeOpenRouter:
    """Knows generations by their ids; `answers` are given before anything that it knows."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                assert asked.path == "/api/v1/generation"
                [generation] = parse_qs(asked.query)["id"]
                fake.asked[generation] += 1
                fake.keys.add(self.headers["Authorization"])
                if fake.answers:
                    status, headers, body = fake.answers.pop(0)
                elif generation in fake.known:
                    status, headers = 200, {}
                    body = json.dumps({"data": fake.known[generation]}).encode()
                else:
                    status, headers, body = 404, {}, b'{"error": {"code": 404}}'
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v1"

    def knows(self, generation: str, cost: float, **tokens: int) -> None:
        native = {f"native_tokens_{kind}": count for kind, count in tokens.items()}
        self.known[generation] = {"id": generation, "total_cost": cost, **native}


@pytest.fixture
def openrouter() -> Iterator[FakeOpenRouter]:
    fake = FakeOpenRouter()
    thread = threading.Thread(target=fake.server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    fake.server.shutdown()
    thread.join()
    fake.server.server_close()


class KeepingLog(LogWriter):
    """A log whose events are in the lake at once, where there is one."""

    def __init__(self, lake: LakeOfEvents | None = None) -> None:
        super().__init__("127.0.0.1:1")
        self.lake = lake
        self.taken: list[Event] = []

    async def append(self, records: Sequence[Record]) -> list[Placed]:
        events = [decode_event(value) for _, value in records]
        self.taken += events
        if self.lake is not None:
            self.lake.put(*events, recorded_at_us=now_us())
        return [Placed(0, at) for at, _ in enumerate(records)]


def called(lake: LakeOfEvents, session: str, **said: Any) -> None:
    """Put into the lake what becomes of a call of a model."""
    item = {
        "hostId": "h", "sessionId": session, "eventType": "agent_execution", "agentName": "a",
        "executionType": "llm", "modelTier": "haiku", "modelName": "m", **said,
    }  # fmt: skip
    [checked] = check_batch({"events": [item]}, strict=False).items.values()
    [event_id] = event_ids([checked], "one")
    events = events_of(checked, event_id, NOON_US, json.dumps(attributes_of(checked)))
    lake.put(*(Event(**each) for each in events), recorded_at_us=now_us())


@asynccontextmanager
async def asking(
    fake: FakeOpenRouter, find: Find, lake: LakeOfEvents | None = None
) -> AsyncIterator[KeepingLog]:
    """Find costs out, looking again and again without pauses to speak of."""
    log = KeepingLog(lake)
    router = OpenRouter(fake.url, "sk-or-test")
    async with LateCosts(Collector(log), router, find, every=timedelta(milliseconds=1)):
        yield log


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_costs, "_FIRST_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(late_costs, "_APART_SECONDS", 0.0)
    monkeypatch.setattr(late_costs, "_LOOK_AT_ALL_EVERY_SECONDS", 1e-6)


async def test_the_cost_and_the_tokens_of_a_call_are_added_once(
    openrouter: FakeOpenRouter, tmp_path: Path
) -> None:
    lake = LakeOfEvents(tmp_path)
    called(lake, "s1", generationId="gen-1,gen-2")
    called(lake, "s2", generationId="gen-3", promptTokens=7)
    called(lake, "s3", generationId="gen-4", cost=0.5)
    called(lake, "s4")
    openrouter.knows("gen-1", 0.25, prompt=100, completion=20, cached=40, reasoning=5)
    openrouter.knows("gen-2", 0.5, prompt=10, completion=2)
    openrouter.knows("gen-3", 2.0, prompt=9, completion=9)
    openrouter.knows("gen-4", 9.0)
    find = partial(uncosted, lake.root)
    async with asking(openrouter, find, lake) as log:
        await until(lambda: len(log.taken) == 2)
    added = {each.run_id: each for each in log.taken}
    assert added.keys() == {"s1@h", "s2@h"}
    one, two = added["s1@h"], added["s2@h"]
    assert (one.cost_usd, one.input_tokens, one.cache_read_tokens) == (0.75, 70, 40)
    assert (one.output_tokens, one.reasoning_tokens) == (22, 5)
    assert (one.occurred_at, one.agent_name, one.model) == (NOON_US, "a", "m")
    assert (two.cost_usd, two.input_tokens) == (2.0, None)
    assert openrouter.asked == {"gen-1": 1, "gen-2": 1, "gen-3": 1}
    assert openrouter.keys == {"Bearer sk-or-test"}

    assert uncosted(lake.root, DAY) == []
    async with asking(openrouter, find, lake) as again:  # a restart, or another collector
        called(lake, "s5", generationId="gen-4")
        await until(lambda: again.taken)
    assert [each.run_id for each in again.taken] == ["s5@h"]
    assert openrouter.asked["gen-1"] == 1


async def test_what_is_known_only_later_is_asked_for_again_and_given_up_in_the_end(
    openrouter: FakeOpenRouter,
) -> None:
    found = [Uncosted("h", name, name, NOON_US) for name in ("late", "half,never", "never")]
    openrouter.knows("half", 1.0)
    async with asking(openrouter, lambda _: found) as log:
        await until(lambda: openrouter.asked["late"] >= 2)
        openrouter.knows("late", 3.0)
        await until(lambda: len(log.taken) == 2)
        await until(lambda: openrouter.asked["never"] == 12)
        openrouter.knows("never", 9.0)
        openrouter.knows("last", 4.0)
        found.append(Uncosted("h", "last", "last", NOON_US))
        await until(lambda: len(log.taken) == 3)
    costs = {each.session_id: each.cost_usd for each in log.taken}
    assert costs == {"late": 3.0, "half,never": 1.0, "last": 4.0}
    assert openrouter.asked["never"] == 12
    assert openrouter.asked["half"] == 1


async def test_an_outage_a_limit_a_defect_and_a_lake_that_is_not_there_yet_cost_no_try(
    openrouter: FakeOpenRouter, tmp_path: Path
) -> None:
    openrouter.knows("gen-1", 1.0)
    openrouter.answers = [
        (503, {}, b""),
        *[(429, {"Retry-After": "0"}, b"")] * 5,
        (200, {}, b"no JSON"),
        (200, {}, b'{"data": {"total_cost": -1}}'),
        (302, {"Location": "http://127.0.0.1:1/"}, b""),
    ]
    looks = 0

    def find(within: timedelta) -> list[Uncosted]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ZeroDivisionError("a defect")
        if looks < 3:
            return list(uncosted(tmp_path / "none", within))
        return [Uncosted("h", "s1", "gen-1", NOON_US)]

    async with asking(openrouter, find) as log:
        await until(lambda: log.taken)
    assert [each.cost_usd for each in log.taken] == [1.0]
    assert openrouter.asked == {"gen-1": 10}


async def test_a_wrong_key_is_said_and_asked_with_again_much_later(
    openrouter: FakeOpenRouter,
) -> None:
    openrouter.answers = [(401, {}, b""), (200, {}, b'{"data": {"total_cost": null}}')]
    async with OpenRouter(openrouter.url, "wrong") as asked:
        with pytest.raises(OpenRouterUnavailable, match="is the key right") as refused:
            await asked.spent("gen-1")
        assert refused.value.retry_after == timedelta(minutes=10)
        assert await asked.spent("gen-1") is None
        openrouter.knows("gen-1", 1, prompt=2)
        assert await asked.spent("gen-1") == Spent(1.0, prompt_tokens=2)


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({}, None),
        ({"OPENROUTER_API_KEY": "k"}, "k"),
        ({"ANTHROPIC_AUTH_TOKEN": "sk-or-v1-1"}, "sk-or-v1-1"),
        ({"ANTHROPIC_AUTH_TOKEN": "sk-ant-1"}, None),
        ({"OPENROUTER_API_KEY": "k", "ANTHROPIC_AUTH_TOKEN": "sk-or-v1-1"}, "k"),
    ],
)
def test_a_token_for_anthropic_is_sent_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], key: str | None
) -> None:
    for name in ("OPENROUTER_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert AgentFrameworkEnvironment().key_for_openrouter == key
