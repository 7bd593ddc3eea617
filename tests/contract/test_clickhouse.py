"""The ClickHouse way of the Automagik clients, against the real collector over a real Kafka."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.deploy.embedded import KafkaServer
from runfold.processors.dead_letter_index import LetterEntry
from runfold.processors.dead_letter_log import DeadLetterLog
from runfold.schemas.event import Event
from tests.collector_process import CollectorProcess
from tests.integration.stack_parts import wait_until

INSERT = "INSERT INTO telemetry.{} FORMAT JSONEachRow"
AT_NS = 1_763_700_000_123_456_789
SDK = {
    "timestamp": "2025-11-21 04:40:00",
    "timestamp_ns": AT_NS,
    "service_name": "omni",
    "project_name": "omni",
    "project_version": "1.2",
    "environment": "production",
    "hostname": "",
    "user_id": "",
    "session_id": "",
    "instrumentation_library_name": "automagik-telemetry",
    "instrumentation_library_version": "0.1.4",
    "attributes": {"feature_name": "list", "ok": "True"},
}
SPAN = {
    **SDK,
    "trace_id": "ab" * 32,
    "span_id": "1234567890abcdef",
    "parent_span_id": "",
    "duration_ms": 0,
    "span_name": "automagik.feature.used",
    "span_kind": "SPAN_KIND_INTERNAL",
    "status_code": "OK",
    "status_message": "",
}
METRIC = {
    **SDK,
    "metric_id": "m",
    "metric_name": "queue",
    "metric_type": "SUM",
    "metric_unit": "",
    "value_int": 7,
    "value_double": 0.0,
}
LOG = {
    **SDK,
    "log_id": "l",
    "severity_text": "WARN",
    "severity_number": 13,
    "body": "careful",
    "trace_id": "",
    "span_id": "",
}


@pytest.fixture(scope="module")
def collector(
    kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("clickhouse")
    with CollectorProcess(kafka.bootstrap, f"test-{folder.name}", folder) as serving:
        yield serving


@pytest.fixture
def server(collector: CollectorProcess) -> Iterator[httpx.Client]:
    auth = httpx.BasicAuth("default", "")
    with httpx.Client(base_url=collector.url, auth=auth, timeout=30) as client:
        yield client


def rows(*given: Any) -> bytes:
    return "\n".join(json.dumps(each) for each in given).encode()


async def named(collector: CollectorProcess, name: str) -> list[Event]:
    return [each for each in await collector.events() if each.name == name]


async def letters(kafka: KafkaServer) -> list[LetterEntry]:
    found = (await DeadLetterLog(kafka.bootstrap).index()).entries()
    return [each for each in found if each.message.startswith("clickhouse/traces")]


async def test_rows_become_what_the_same_calls_become_over_otlp(
    server: httpx.Client, collector: CollectorProcess
) -> None:
    error = {**SPAN, "span_id": "00000000000000ee", "span_name": "automagik.error"}
    error["attributes"] = {"error_type": "ValueError", "error_message": "no"}
    for table, body in (("traces", (SPAN, error)), ("metrics", (METRIC,)), ("logs", (LOG,))):
        for _ in range(2):  # as after a time-out: the same bytes again
            answer = server.post("/", params={"query": INSERT.format(table)}, content=rows(*body))
            assert (answer.status_code, answer.text) == (200, "")
    (used,) = await named(collector, "automagik.feature.used")
    assert (used.event_type, used.event_id) == ("custom", f"otlp-{'ab' * 32}-1234567890abcdef")
    assert (used.project, used.agent_version, used.trace_id) == ("omni", "1.2", "ab" * 32)
    assert used.occurred_at == AT_NS // 1000
    assert orjson.loads(used.attributes or "")["feature_name"] == "list"
    (failed,) = await named(collector, "automagik.error")
    assert (failed.event_type, failed.error_type) == ("error.raised", "ValueError")
    (metric,) = await named(collector, "queue")
    assert metric.value == 7
    assert orjson.loads(metric.attributes or "")["metric_type"] == "counter"
    (log,) = await named(collector, "warn")
    assert orjson.loads(log.attributes or "")["message"] == "careful"
    assert len({used.run_id, failed.run_id, metric.run_id, log.run_id}) == 1


async def test_sessions_floats_older_columns_and_times_as_text(
    server: httpx.Client, collector: CollectorProcess
) -> None:
    plain = {**METRIC, "session_id": "s-1", "metric_name": "floats", "value_double": 1.5}
    old = {**METRIC, "metric_name": "floats", "value": 2.5, "unit": "ms"}
    del plain["timestamp_ns"], plain["value_int"], old["value_int"], old["value_double"]
    body = gzip.compress(rows(plain, {**old, "session_id": "undefined"}))
    headers = {"Content-Encoding": "gzip"}
    query = "INSERT%20INTO+telemetry.my_metrics%20FORMAT%20JSONEachRow"
    assert server.post(f"/?query={query}", content=body, headers=headers).status_code == 200
    first, second = sorted(await named(collector, "floats"), key=lambda each: each.value or 0)
    assert (first.run_id, first.value, first.session_id) == ("s-1", 1.5, "s-1")
    assert first.occurred_at == 1_763_700_000_000_000
    assert (second.value, second.unit, second.session_id) == (2.5, "ms", None)


async def test_bad_rows_are_kept_aside_and_the_good_ones_taken(
    server: httpx.Client, collector: CollectorProcess, kafka: KafkaServer
) -> None:
    good = {**SPAN, "span_name": "among bad ones", "span_id": "00000000000000aa"}
    bad = [
        b'{"span_name": "torn',
        b"7",
        rows({**good, "span_id": ""}),
        rows({**good, "attributes": "none"}),
        rows({**good, "timestamp_ns": 0, "timestamp": "yesterday"}),
        rows(METRIC),
    ]
    body = b"\n".join([*bad, rows(good), b""])
    before = {each.place for each in await letters(kafka)}
    answer = server.post("/", content=INSERT.format("traces").encode() + b"\n" + body)
    assert answer.status_code == 200
    assert answer.text.startswith("Rows not taken: 6. rows[0]: ")
    assert len(await named(collector, "among bad ones")) == 1
    kept = [each for each in await letters(kafka) if each.place not in before]
    assert len(kept) == len(bad)
    for field in ("span_id", "attributes", "timestamp: 'yesterday'", "no row of traces"):
        assert any(field in each.message for each in kept), field


@pytest.mark.parametrize(
    ("query", "body", "status", "said"),
    [
        ("SELECT 1", b"", 200, "1\n"),
        ("", b"select version();", 200, "24.8.1.1\n"),
        ("", b"SELECT 1 FORMAT JSONEachRow", 200, '{"1":1}\n'),
        ("", b"", 400, "Code: 62."),
        ("DROP TABLE traces", b"", 400, "Code: 48."),
        ("INSERT INTO traces FORMAT Native", b"\x00", 400, "Code: 73."),
        (INSERT.format("traces"), b"", 200, ""),
        (INSERT.format("traces"), b"\xff\x00", 400, "Code: 27."),
        (INSERT.format("users"), b'{"id": 1}', 400, "Code: 27."),
    ],
)
def test_other_statements_are_answered_as_clickhouse_would(
    server: httpx.Client, query: str, body: bytes, status: int, said: str
) -> None:
    asked = (
        {"query": query} if query else {"database": "telemetry", "default_format": "TabSeparated"}
    )
    answer = server.post("/", params=asked, content=body)
    assert (answer.status_code, answer.text[: len(said)]) == (status, said)
    if status == 400:
        assert answer.headers["x-clickhouse-exception-code"] in answer.text


def test_ping_and_questions_in_the_address(server: httpx.Client) -> None:
    assert server.get("/ping").text == "Ok.\n"
    assert server.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert server.get("/").json()["service"] == "agent-telemetry-collector"


async def test_the_password_is_a_key(kafka: KafkaServer, collector: CollectorProcess) -> None:
    folder = collector.log.parent / "keyed"
    command = [sys.executable, "-m", "runfold.deploy", "keys", "create", "--broker"]
    made = subprocess.run(
        [*command, kafka.bootstrap, "--format", "json"], capture_output=True, check=True, text=True
    )
    (key,) = json.loads(made.stdout)
    body = rows({**SPAN, "span_name": "with a key", "span_id": "00000000000000bb"})
    query = {"query": INSERT.format("traces")}
    with CollectorProcess(kafka.bootstrap, collector.topic, folder, "--require-keys") as keyed:

        def post(password: str) -> httpx.Response:
            auth = httpx.BasicAuth("default", password)
            return httpx.post(keyed.url, params=query, content=body, auth=auth, timeout=30)

        wait_until(lambda: post("").status_code != 503, "the keys are known", workers=[keyed])
        for password, status in (("", 401), ("wrong", 403), (key["key"], 200)):
            answer = post(password)
            assert answer.status_code == status, answer.text
            assert status == 200 or answer.text.startswith("Code: 516. DB::Exception: default: ")
    assert len(await named(collector, "with a key")) == 1


_FUZZED = [
    {**SPAN, "span_name": "fuzzed", "span_id": "00000000000000ff"},
    {**METRIC, "metric_name": "fuzzed"},
    {**LOG, "severity_text": "FUZZED"},
]
_ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
_VALUES = _ANYTHING | st.lists(_ANYTHING, max_size=2) | st.dictionaries(st.text(), _ANYTHING)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(_FUZZED).flatmap(
        lambda row: st.fixed_dictionaries({n: st.just(v) | _VALUES for n, v in row.items()})
    )
    | _VALUES,
)
def test_no_row_is_answered_with_a_failure_of_ours(server: httpx.Client, row: Any) -> None:
    answer = server.post("/", params={"query": INSERT.format("any")}, content=rows(row, row))
    assert answer.status_code in (200, 400)
