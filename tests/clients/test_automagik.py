"""The Automagik SDKs of PyPI and npm, and curl, unmodified, against the collector."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from runfold.deploy.embedded import KafkaServer
from runfold.schemas.event import Event
from tests.clients.node import needs_node, node_folder, run_node
from tests.clients.python_client import run_client
from tests.collector_process import CollectorProcess

HERE = Path(__file__).parent
NPM = {"@automagik/telemetry": "0.1.3"}
CALLED = {
    "automagik.feature.used": "custom",
    "automagik.error": "error.raised",
    "load": "metric.recorded",
    "sent": "metric.recorded",
    "latency": "metric.recorded",
    "warn": "log.written",
}
"""What each call becomes, by its name."""


@pytest.fixture(scope="module")
def collector(
    kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("automagik")
    with CollectorProcess(kafka.bootstrap, f"test-{folder.name}", folder) as serving:
        yield serving


def environment(collector: CollectorProcess, backend: str) -> dict[str, str]:
    return {
        "AUTOMAGIK_TELEMETRY_ENABLED": "true",
        "AUTOMAGIK_TELEMETRY_BACKEND": backend,
        "AUTOMAGIK_TELEMETRY_ENDPOINT": collector.url,
        "AUTOMAGIK_TELEMETRY_CLICKHOUSE_ENDPOINT": collector.url,
    }


def python(collector: CollectorProcess, version: str, backend: str, what: str, home: Path) -> str:
    """Run the calls with a version of the SDK; return the project that they were made under."""
    project = f"omni-{uuid.uuid4().hex[:8]}"
    run_client(
        f"automagik-telemetry=={version}",
        HERE / "automagik_calls.py",
        what,
        project,
        environment={"HOME": str(home), **environment(collector, backend)},
    )
    return project


def node(collector: CollectorProcess, backend: str, what: str, home: Path) -> str:
    project = f"omni-{uuid.uuid4().hex[:8]}"
    told = json.dumps(environment(collector, backend))
    script = HERE / "automagik_calls.mjs"
    run_node(node_folder("automagik", NPM), script, what, project, str(home), told)
    return project


async def recorded(collector: CollectorProcess, project: str) -> dict[str, Event]:
    """Return the events of a project by their names, but the start of its run."""
    found = [each for each in await collector.events() if each.project == project]
    assert len({each.run_id for each in found}) == 1
    started = [each for each in found if each.event_type == "run.started"]
    assert [each.job_type for each in started] == ["automagik"]
    return {str(each.name): each for each in found if each not in started}


def told(event: Event) -> dict[str, Any]:
    attributes: dict[str, Any] = orjson.loads(event.attributes or "{}")
    return attributes


def check_calls(events: dict[str, Event]) -> None:
    assert {name: each.event_type for name, each in events.items()} == CALLED
    assert {each.agent_version for each in events.values()} == {"1.2.3"}
    error = events["automagik.error"]
    assert (error.error_type in ("ValueError", "TypeError"), error.error_message) == (
        True,
        "no such contact",
    )
    assert told(error)["error_code"] == "E1"
    assert [events[name].value for name in ("load", "sent", "latency")] == [1.5, 2, 12.5]
    kinds = [told(events[name])["metric_type"] for name in ("load", "sent", "latency")]
    assert kinds == ["gauge", "counter", "histogram"]
    assert told(events["warn"])["message"] == "be careful"
    assert told(events["warn"])["where"] == "here"


@pytest.mark.parametrize(
    ("version", "what"), [("0.1.4", "calls"), ("0.1.3", "calls"), ("0.0.1", "oldest")]
)
async def test_each_call_of_the_python_sdk_is_an_event_of_its_session(
    collector: CollectorProcess, tmp_path: Path, version: str, what: str
) -> None:
    events = await recorded(collector, python(collector, version, "otlp", what, tmp_path))
    check_calls(events)
    used = told(events["automagik.feature.used"])
    assert (used["feature_name"], used["ok"], used["n"]) == ("list", True, 3)
    assert used["note"] == "é\n\x00"
    assert used["system.os"]
    assert {each.session_id for each in events.values()} == {events["load"].run_id}
    user = (tmp_path / ".automagik" / "user_id").read_text("utf-8").strip()
    assert {each.user_id for each in events.values()} == {user}


@pytest.mark.parametrize("version", ["0.1.4", "0.1.3"])
async def test_the_python_sdk_that_writes_to_clickhouse_records_the_same(
    collector: CollectorProcess, tmp_path: Path, version: str
) -> None:
    events = await recorded(collector, python(collector, version, "clickhouse", "calls", tmp_path))
    check_calls(events)
    assert told(events["automagik.feature.used"])["feature_name"] == "list"


@pytest.mark.parametrize("backend", ["otlp", "clickhouse"])
async def test_hundreds_of_calls_in_batches_are_stored_once_each(
    collector: CollectorProcess, tmp_path: Path, backend: str
) -> None:
    project = python(collector, "0.1.4", backend, "many", tmp_path)
    found = [each for each in await collector.events() if each.project == project]
    kinds = Counter(each.event_type for each in found)
    assert kinds == {"run.started": 1, "custom": 250, "metric.recorded": 3, "log.written": 3}
    numbers = {float(told(each)["at"]) for each in found if each.event_type == "custom"}
    assert numbers == set(range(250))


@needs_node
async def test_each_call_of_the_npm_sdk_is_an_event(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    events = await recorded(collector, node(collector, "otlp", "calls", tmp_path))
    check_calls(events)
    assert told(events["automagik.feature.used"])["ok"] is True
    assert events["load"].unit == "1"


@needs_node
@pytest.mark.parametrize("backend", ["otlp", "clickhouse"])
async def test_two_hundred_requests_of_the_npm_sdk_at_once_are_stored_once_each(
    collector: CollectorProcess, tmp_path: Path, backend: str
) -> None:
    project = node(collector, backend, "many", tmp_path)
    found = [each for each in await collector.events() if each.project == project]
    assert Counter(each.event_type for each in found) == {"run.started": 1, "custom": 200}


def curl(*arguments: str) -> tuple[str, str]:
    """Return the body and the status that curl was answered."""
    ran = subprocess.run(
        ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *arguments],
        capture_output=True,
        check=True,
        text=True,
    )
    body, _, status = ran.stdout.rpartition("\n")
    return body, status


async def test_what_the_guides_send_by_curl_is_taken(collector: CollectorProcess) -> None:
    now_ns = time.time_ns()
    for at in range(10):
        body = json.dumps(_sample(at, now_ns))
        sent = ("-H", "Content-Type: application/json", "-d", body)
        assert curl("-X", "POST", f"{collector.url}/v1/traces", *sent)[1] == "200"
    found = [each for each in await collector.events() if each.project == "test-project"]
    ended = [each for each in found if each.event_type == "run.ended"]
    assert len(ended) == 10
    assert sum(each.status == "failure" for each in ended) == 2
    assert sorted(each.duration_ms or 0 for each in ended) == [10 + 50 * at for at in range(10)]
    assert sum(each.event_type == "error.raised" for each in found) == 2

    assert curl(f"{collector.url}/ping") == ("Ok.\n", "200")
    assert curl(f"{collector.url}/", "--data-binary", "SELECT 1") == ("1\n", "200")
    event = {"hostId": "h", "sessionId": "curl", "eventType": "error", "agentName": "a"}
    answer = curl(
        f"{collector.url}/api/v1/telemetry/batch",
        *("-H", "X-API-Key: any", "-H", "Content-Type: application/json"),
        *("-d", json.dumps({"events": [event]})),
    )
    assert answer == ('{"accepted":1}', "200")


def _sample(at: int, now_ns: int) -> dict[str, Any]:
    """Return a request as the guide's script for test data makes it."""
    failed = at % 5 == 0
    span = {
        "traceId": uuid.uuid4().hex,
        "spanId": uuid.uuid4().hex[:16],
        "name": "test.event",
        "kind": 1,
        "startTimeUnixNano": str(now_ns),
        "endTimeUnixNano": str(now_ns + (10 + 50 * at) * 1_000_000),
        "attributes": [
            {"key": "test.number", "value": {"intValue": str(at)}},
            {"key": "environment", "value": {"stringValue": "test"}},
        ],
        "status": {"code": "2" if failed else "1", "message": "failed" if failed else ""},
    }
    resource = [{"key": "service.name", "value": {"stringValue": "test-project"}}]
    scope = {"scope": {"name": "test", "version": "1"}, "spans": [span]}
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]}
