"""Shipping to a collector by HTTP: nothing lost, nothing believed too soon."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from runfold.producers import Client
from runfold.producers.http_publisher import HttpPublisher
from runfold.producers.journal_folder import journals_below, owner_of
from runfold.producers.publisher import Refused
from runfold.schemas.errors import BrokerUnavailable, CollectorBusy, EventRejected
from tests.collectors import Collector, collecting
from tests.memory_log import wait_until

PATIENCE = timedelta(seconds=5)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


def _event(n: int, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"rf{'0' * 20}.1-{n}",
        "run_id": "run",
        "event_type": "custom",
        "occurred_at": 1_763_000_000_000_000 + n,
        **fields,
    }


async def _publish(url: str, *events: dict[str, Any]) -> Refused:
    async with HttpPublisher(url, patience=PATIENCE) as publisher:
        for each in events:
            await publisher.publish(each)
        return await publisher.flush()


@pytest.mark.parametrize("chunked", [False, True])
async def test_events_arrive_as_they_are_and_in_order(collector: Collector, chunked: bool) -> None:
    collector.chunked = chunked
    sent = [_event(n, attributes='{"deep":[1,"ü"]}', cost_usd=0.5) for n in range(6000)]
    assert await _publish(collector.url, *sent) == {}
    assert collector.events == sent
    assert collector.requests == [5000, 1000]
    assert collector.headers[0]["Content-Encoding"] == "gzip"
    assert collector.headers[0]["Content-Type"] == "application/x-ndjson"


async def test_an_event_that_is_rejected_is_named_and_its_neighbours_arrive(
    collector: Collector,
) -> None:
    bad = _event(2, input_tokens="many")
    refused = await _publish(collector.url, _event(1), bad, _event(3))
    assert list(refused) == [bad["event_id"]]
    assert [each["event_id"][-1] for each in collector.events] == ["1", "3"]


async def test_an_event_that_is_too_large_or_has_no_id_is_not_sent(collector: Collector) -> None:
    async with HttpPublisher(collector.url, patience=PATIENCE) as publisher:
        with pytest.raises(EventRejected, match="too_large"):
            await publisher.publish(_event(1, error_message="x" * 2_000_000))
        with pytest.raises(EventRejected, match="missing_id"):
            await publisher.publish({"run_id": "r"})
    assert collector.requests == []


@pytest.mark.parametrize(("status", "reason"), [(400, "bad_body"), (413, "too_large")])
async def test_a_request_that_is_refused_whole_is_halved_until_one_event_is_to_blame(
    collector: Collector, status: int, reason: str
) -> None:
    collector.refuse = lambda lines: (
        (status, {}, b"bad") if any(b'"poison"' in each for each in lines) else None
    )
    sent = [_event(n) for n in range(100)]
    sent[37]["name"] = "poison"
    refused = await _publish(collector.url, *sent)
    assert {each: error.reason for each, error in refused.items()} == {sent[37]["event_id"]: reason}
    assert len(collector.events) == 99


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((500, {}, b"broken"), "answers 500: broken"),
        ((302, {"Location": "/x"}, b""), "answers 302"),
        ((401, {}, b""), "answers 401"),
        ((200, {}, b"<html>welcome to the hotel</html>"), "does not answer as a collector"),
        ((200, {}, b""), "does not answer as a collector"),
        ((200, {}, b"[]"), "does not answer as a collector"),
        ((200, {}, b'{"accepted":1,"rejected":[]}'), "accounts for 1 of 2"),
        (
            (200, {}, b'{"accepted":1,"rejected":[{"index":7,"reason":"x","message":"y"}]}'),
            "not an",
        ),
    ],
)
async def test_whatever_else_is_answered_is_no_acknowledgement(
    collector: Collector, reply: Any, words: str
) -> None:
    collector.replies = [reply]
    with pytest.raises(BrokerUnavailable, match=words):
        await _publish(collector.url, _event(1), _event(2))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "99999"}, 300),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "nan"}, 0),
        ({}, 0),
        ({"Retry-After": "Fri, 01 Jan 2038 00:00:00 GMT"}, 300),
        ({"Retry-After": "Fri, 01 Jan 2010 00:00:00 GMT"}, 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_collector_says_when_to_come_back(
    collector: Collector, status: int, headers: dict[str, str], seconds: int
) -> None:
    collector.replies = [(status, headers, b"")]
    with pytest.raises(CollectorBusy) as caught:
        await _publish(collector.url, _event(1))
    assert caught.value.retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://", "http://a:b:c", "ftp://x", "http://[::1"]
)
async def test_an_address_where_no_collector_is_says_so(url: str) -> None:
    with pytest.raises(BrokerUnavailable):
        await _publish(url, _event(1))


async def _serve_once(reply: bytes) -> tuple[asyncio.Server, str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
            if not reply:
                await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 twenty\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"x" * 100_000, b"",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_speaks_no_http_or_says_nothing_is_no_collector(reply: bytes) -> None:
    server, url = await _serve_once(reply)
    async with server:
        publisher = HttpPublisher(url, patience=timedelta(seconds=0.5))
        async with publisher:
            await publisher.publish(_event(1))
            with pytest.raises(BrokerUnavailable):
                await publisher.flush()


async def test_an_answer_may_end_with_the_connection_and_come_after_a_continue() -> None:
    server, url = await _serve_once(
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n{"accepted":1,"rejected":[]}'
    )
    async with server:
        assert await _publish(url, _event(1)) == {}


async def test_a_login_in_the_url_is_sent_and_not_written_down(
    collector: Collector, tmp_path: Path
) -> None:
    url = collector.url.replace("http://", "http://bob:s%20cret@")
    client = Client(endpoint=url, journal_dir=tmp_path, heartbeat_seconds=None)
    client.start_run()
    assert await asyncio.to_thread(client.flush, 20)
    (folder,) = journals_below(tmp_path)
    owner = owner_of(folder)
    assert owner is not None
    assert owner.broker == collector.url
    client.close()
    assert collector.headers[0]["Authorization"] == "Basic Ym9iOnMgY3JldA=="


@pytest.mark.parametrize("how", ["endpoint", "broker", "RUNFOLD_ENDPOINT", "RUNFOLD_BROKER"])
def test_a_client_ships_to_a_collector_whose_url_it_finds(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    given: dict[str, Any] = {}
    if how.isupper():
        monkeypatch.setenv(how, collector.url)
    else:
        given[how] = collector.url
    client = Client(journal_dir=tmp_path, heartbeat_seconds=None, **given)
    with client.run() as run:
        run.event("custom", deep={"a": [1]})
    assert client.flush(20)
    client.close()
    assert [each["event_type"] for each in collector.events] == [
        "run.started", "custom", "run.ended",
    ]  # fmt: skip
    assert orjson.loads(collector.events[1]["attributes"]) == {"deep": {"a": [1]}}
    assert journals_below(tmp_path) == []


def test_an_outage_and_a_busy_collector_delay_and_lose_nothing(
    collector: Collector, tmp_path: Path
) -> None:
    collector.replies = [
        (500, {}, b""),
        (429, {"Retry-After": "0.2"}, b""),
        (503, {"Retry-After": "0.2"}, b""),
        (200, {}, b"nonsense"),
    ]
    client = Client(endpoint=collector.url, journal_dir=tmp_path, heartbeat_seconds=None)
    run_id = client.start_run()
    for _ in range(100):
        client.event(run_id, "custom")
    wait_until(lambda: len(collector.events) == 101)
    assert client.flush(20)
    client.close()
    assert len({each["event_id"] for each in collector.events}) == 101


def test_a_collector_that_asks_to_wait_is_left_alone_until_then(
    collector: Collector, tmp_path: Path
) -> None:
    collector.replies = [(429, {"Retry-After": "300"}, b"")]
    client = Client(endpoint=collector.url, journal_dir=tmp_path, heartbeat_seconds=None)
    client.start_run()
    assert not client.flush(1)
    assert not client.flush(0.1)  # which wakes a shipper that only pauses
    assert collector.requests == [1]
    client.close(timeout=0)


def test_what_a_collector_rejects_is_kept_aside_and_declared(
    collector: Collector, tmp_path: Path
) -> None:
    collector.refuse = lambda lines: (
        (413, {}, b"") if any(b'"poison"' in each for each in lines) else None
    )
    client = Client(endpoint=collector.url, journal_dir=tmp_path, heartbeat_seconds=None)
    run_id = client.start_run()
    client.event(run_id, "custom", name="poison")
    client.end_run(run_id)
    assert client.flush(20)
    wait_until(lambda: any(e.get("name") == "events.dropped" for e in collector.events))
    assert client.counts.rejected == 1
    assert b"poison" in (tmp_path / "rejected.ndjson").read_bytes()
    client.close()


def test_a_script_that_just_ends_has_posted_its_events(
    collector: Collector, tmp_path: Path
) -> None:
    script = f"""
from runfold.producers import Client
client = Client(endpoint={collector.url!r}, journal_dir={str(tmp_path)!r})
client.end_run(client.start_run())
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)
    types = [each["event_type"] for each in collector.events]
    assert [each for each in types if each != "run.heartbeat"] == ["run.started", "run.ended"]
