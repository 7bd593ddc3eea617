"""`runfold collector` as a process: how it drains and ends, and what it does without Kafka."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson

from runfold.deploy.embedded import KafkaServer
from runfold.processors.dead_letter_log import DeadLetterLog
from tests.collector_process import CollectorProcess
from tests.memory_log import wait_until
from tests.otlp_requests import BEGIN_NS

PATIENCE_SECONDS = 60.0
TRACES = ("c1" * 16, "c2" * 16)


def line(number: int) -> bytes:
    """Return an event as a client's journal has it."""
    return orjson.dumps(
        {
            "event_id": f"process-{number}",
            "run_id": f"run-{number % 5}",
            "event_type": "run.started",
            "occurred_at": 1_763_700_000_000_000 + number,
        }
    )


def post(collector: CollectorProcess, *numbers: int) -> httpx.Response:
    """Send events, and wait for the answer longer than the collector may take."""
    body = b"\n".join(map(line, numbers))
    return httpx.post(f"{collector.url}/api/v1/events", content=body, timeout=PATIENCE_SECONDS)


def deliver(collector: CollectorProcess, *numbers: int) -> None:
    """Send events until they are taken, as every client does."""
    wait_until(lambda: post(collector, *numbers).status_code == 200, seconds=PATIENCE_SECONDS)


def half_a_request(collector: CollectorProcess, body: bytes) -> socket.socket:
    """Begin a request, and send half of its body."""
    client = socket.create_connection(collector.address, timeout=PATIENCE_SECONDS)
    head = f"POST /api/v1/events HTTP/1.1\r\nhost: here\r\ncontent-length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body[: len(body) // 2])
    return client


def post_a_good_span_and_a_bad_one(collector: CollectorProcess, trace: str) -> httpx.Response:
    """Send what no client sends again, whatever it is answered but 503."""
    spans = [
        {"traceId": trace, "spanId": span_id, "name": "n", "startTimeUnixNano": str(BEGIN_NS)}
        for span_id in ("00000000000000a1", "")
    ]
    body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    return httpx.post(f"{collector.url}/v1/traces", json=body, timeout=PATIENCE_SECONDS)


def kept_letters(bootstrap: str, trace: str) -> list[str]:
    """Return what the letters of that trace were kept for."""

    async def read() -> list[str]:
        log = DeadLetterLog(bootstrap)
        entries = (await log.index()).entries()
        found = [each async for some in log.letters(entries) for each in some]
        return [each.message for each in found if trace.encode() in (each.value or b"")]

    return asyncio.run(read())


def stored(collector: CollectorProcess) -> set[str]:
    """Return the ids of the events that are in the log."""
    return {each.event_id for each in asyncio.run(collector.events())}


def test_what_was_begun_is_finished_at_a_sigterm_and_a_second_one_ends_at_once(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    with CollectorProcess(kafka.bootstrap, topic_name, tmp_path) as collector:
        assert httpx.get(f"{collector.health_url}/").json()["status"] == "Server available"
        assert httpx.get(f"{collector.health_url}/api/v1/events").status_code == 404
        counts = httpx.get(f"{collector.health_url}/metrics", headers={"Accept": "*/*"})
        assert "runfold_collector_requests_total" in counts.text
        deliver(collector, 1, 2)
        with half_a_request(collector, line(3)) as client:
            collector.process.terminate()
            ready = f"{collector.health_url}/readyz"
            wait_until(lambda: httpx.get(ready).status_code == 503, seconds=PATIENCE_SECONDS)
            assert httpx.get(ready).json()["reasons"][0]["reason"] == "draining"
            assert httpx.get(f"{collector.health_url}/").status_code == 503
            client.sendall(line(3)[len(line(3)) // 2 :])
            assert b'{"accepted":1,"rejected":[]}' in client.makefile("rb").read()
        assert collector.process.wait(PATIENCE_SECONDS) == 0
        assert stored(collector) == {"process-1", "process-2", "process-3"}

        collector.start_again()
        with half_a_request(collector, line(4)):
            ready = f"{collector.health_url}/readyz"
            collector.process.terminate()
            wait_until(lambda: httpx.get(ready).status_code == 503, seconds=PATIENCE_SECONDS)
            collector.process.terminate()
            assert collector.process.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert stored(collector) == {"process-1", "process-2", "process-3"}


def journaling_through_an_outage(collector: CollectorProcess, broker: KafkaServer) -> None:
    """Keep events in the journal, also over a kill, until Kafka is back."""
    collector.start_again("--when-kafka-is-down", "journal")
    deliver(collector, 5)
    broker.pause()
    wait_until(lambda: post(collector, 6, 7).status_code == 202, seconds=PATIENCE_SECONDS)
    assert httpx.get(f"{collector.health_url}/readyz", timeout=60).status_code == 200
    for trace in TRACES:
        partial = post_a_good_span_and_a_bad_one(collector, trace)
        assert partial.status_code == 200
        assert partial.json()["partialSuccess"]["rejectedSpans"] == "1"
    collector.kill()
    collector.start_again()
    for number in range(8, 20):
        assert post(collector, number).status_code == 202
    broker.resume()
    wait_until(lambda: post(collector, 20).status_code == 200, seconds=PATIENCE_SECONDS)
    events = asyncio.run(collector.events())
    ours = {each.event_id for each in events if each.trace_id not in TRACES}
    assert ours == {f"process-{number}" for number in range(1, 21)}
    for trace in TRACES:
        assert [each.event_type for each in events if each.trace_id == trace]
        [message] = kept_letters(broker.bootstrap, trace)
        assert "spans[1]: spanId is missing" in message
    for run in range(5):
        times = [each.occurred_at for each in events if each.run_id == f"run-{run}"]
        assert times == sorted(times)


def test_without_kafka_clients_are_told_to_come_back_and_nobody_complains(
    kafka_server_factory: Callable[..., KafkaServer], topic_name: str, tmp_path: Path
) -> None:
    broker = kafka_server_factory()
    broker.start()
    broker.wait_ready()
    with CollectorProcess(broker.bootstrap, topic_name, tmp_path) as collector:
        deliver(collector, 1)
        broker.pause()
        for url in (f"{collector.health_url}/readyz", f"{collector.url}/api/v1/health"):
            assert httpx.get(url, timeout=60).status_code == 503  # before anybody has sent
        refused = post(collector, 2, 3, 4)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        broker.resume()
        deliver(collector, 2, 3, 4)
        assert collector.stop() == 0
        journaling_through_an_outage(collector, broker)
        assert "never retrieved" not in collector.said()
        for complaint in ("Traceback", "leaked"):
            assert complaint not in collector.said()
