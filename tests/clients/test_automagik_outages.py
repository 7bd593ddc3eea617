"""The Automagik SDK, unmodified, while answers are lost or Kafka is away: all counts once."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from runfold.deploy.embedded import KafkaServer
from runfold.schemas.event import Event
from tests.clients.python_client import client_python, run_client
from tests.collector_process import CollectorProcess, events_of
from tests.integration.stack_parts import wait_until

SDK = "automagik-telemetry==0.1.4"
CALLS = Path(__file__).with_name("automagik_calls.py")
MANY = {"run.started": 1, "custom": 250, "metric.recorded": 3, "log.written": 3}
WAIT_SECONDS = 60


def run_sdk(what: str, url: str, home: Path) -> str:
    """Run the calls against `url`; return the project that they were made under."""
    project = f"outage-{uuid.uuid4().hex[:8]}"
    environment = {
        "HOME": str(home),
        "AUTOMAGIK_TELEMETRY_ENABLED": "true",
        "AUTOMAGIK_TELEMETRY_ENDPOINT": url,
    }
    run_client(SDK, CALLS, what, project, environment=environment)
    return project


def stored(collector: CollectorProcess, project: str) -> list[Event]:
    return [each for each in asyncio.run(collector.events()) if each.project == project]


class LossyProxy:
    """Passes requests on, and keeps the first answer of each path until its client has given up."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.requests: Counter[str] = Counter()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                upstream = HTTPConnection(*target, timeout=WAIT_SECONDS)
                upstream.request("POST", self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
                upstream.close()
                proxy.requests[self.path] += 1
                if proxy.requests[self.path] == 1:
                    assert self.rfile.read() == b""  # until the client has closed
                    return
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LossyProxy:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_what_is_sent_again_because_its_answer_came_too_late_counts_once(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    with CollectorProcess(kafka.bootstrap, topic_name, tmp_path / "collector") as collector:
        with LossyProxy(collector.address) as proxy:
            project = run_sdk("impatient", proxy.url, tmp_path)
        assert proxy.requests == {f"/v1/{each}": 2 for each in ("traces", "metrics", "logs")}
        kinds = Counter(each.event_type for each in stored(collector, project))
        assert kinds == {
            "run.started": 1, "custom": 1, "error.raised": 1,
            "metric.recorded": 3, "log.written": 1,
        }  # fmt: skip
        written = asyncio.run(events_of(kafka.bootstrap, topic_name))
        assert len([each for each in written if each.event_type == "log.written"]) == 2


def answers(collector: CollectorProcess, status: int) -> float:
    """Return how many OTLP requests were answered so."""
    asked = f"{collector.health_url}/metrics"
    said = httpx.get(asked, headers={"Accept": "text/plain"}, timeout=WAIT_SECONDS).text
    named = f'runfold_collector_requests_total{{api="otlp",status="{status}"}} '
    return sum(float(line.split()[-1]) for line in said.splitlines() if line.startswith(named))


@pytest.fixture
def broker(kafka_server_factory: Callable[..., KafkaServer]) -> KafkaServer:
    server = kafka_server_factory()
    server.start()
    server.wait_ready()
    return server


def test_what_is_sent_while_kafka_is_away_is_in_the_log_once_when_it_is_back(
    broker: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    client_python(SDK)  # installed before the clock of its retries runs
    with (
        CollectorProcess(broker.bootstrap, topic_name, tmp_path / "collector") as collector,
        ThreadPoolExecutor(1) as clients,
    ):
        before = run_sdk("many", collector.url, tmp_path)
        assert Counter(each.event_type for each in stored(collector, before)) == MANY

        broker.pause()
        sdk = clients.submit(run_sdk, "many", collector.url, tmp_path)
        wait_until(lambda: answers(collector, 503) >= 1, "it is told to come back")
        broker.resume()
        during = sdk.result()
        assert Counter(each.event_type for each in stored(collector, during)) == MANY

        assert collector.stop() == 0
        collector.start_again("--when-kafka-is-down", "journal")
        broker.pause()
        kept = run_sdk("many", collector.url, tmp_path)
        assert answers(collector, 503) == 0
        broker.resume()
        wait_until(
            lambda: Counter(each.event_type for each in stored(collector, kept)) == MANY,
            "the journal is shipped",
        )
        for each in (before, during, kept):
            assert Counter(event.event_type for event in stored(collector, each)) == MANY
