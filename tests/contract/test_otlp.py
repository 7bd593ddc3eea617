"""OTLP over HTTP and gRPC against the collector over a real Kafka."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from runfold.deploy.embedded import KafkaServer
from runfold.processors.dead_letter_log import DeadLetterLog
from runfold.schemas.event import Event
from runfold.schemas.kept_letter import KeptLetter
from tests.collector_process import CollectorProcess
from tests.integration.stack_parts import PlainDuckDB, WorkerProcess, wait_until
from tests.otlp_requests import AGENT, BEGIN_NS, CHAT, log, logs, span, traces

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
_MOST_TRIES = 30


@pytest.fixture(scope="module")
def collector(
    kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    with CollectorProcess(
        kafka.bootstrap, "test-otlp-contract", tmp_path_factory.mktemp("collector")
    ) as serving:
        posted(serving, json_request("ee" * 16, {}), Content_Type="application/json")
        yield serving


def posted(
    collector: CollectorProcess, body: bytes, path: str = "/v1/traces", **headers: str
) -> httpx.Response:
    """Send a request until it is not asked to come back, as a client does."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    for _ in range(_MOST_TRIES):
        answer = httpx.post(f"{collector.url}{path}", content=body, headers=sent, timeout=30)
        if answer.status_code != 503:
            break
        time.sleep(float(answer.headers["Retry-After"]))
    return answer


def stored(collector: CollectorProcess, trace: str) -> list[Event]:
    events = asyncio.run(collector.events())
    return [each for each in events if each.trace_id == trace]


async def letters_of(bootstrap: str, said: str) -> list[KeptLetter]:
    log = DeadLetterLog(bootstrap)
    wanted = [each for each in (await log.index()).entries() if said in each.message]
    return [each async for some in log.letters(wanted) for each in some]


def json_request(trace: str, *spans: dict[str, Any]) -> bytes:
    made = [
        {"traceId": trace, "spanId": f"{at + 1:016x}", "name": f"n{at}",
         "startTimeUnixNano": str(BEGIN_NS), "endTimeUnixNano": str(BEGIN_NS), **each}
        for at, each in enumerate(spans)
    ]  # fmt: skip
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}).encode()


def test_protobuf_plain_and_packed_and_sent_twice_is_stored_once(
    collector: CollectorProcess,
) -> None:
    trace = "a1" * 16
    body = traces(span(2, CHAT, parent=1, trace=trace), span(1, AGENT, trace=trace))
    for sent, headers in ((body, {}), (gzip.compress(body), {"Content_Encoding": "gzip"})):
        answer = posted(collector, sent, Content_Type="application/x-protobuf", **headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/x-protobuf"
    found = stored(collector, trace)
    assert [each.event_type for each in found] == ["llm.called", "run.started", "run.ended"]


@pytest.mark.parametrize("path", ["/t/token/v1/traces", "/any/prefix/v1/traces"])
def test_json_behind_a_prefix_is_answered_in_json(collector: CollectorProcess, path: str) -> None:
    trace = f"{len(path):032x}"
    answer = posted(collector, json_request(trace, {}), path, Content_Type="application/json; x=y")
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    assert len(stored(collector, trace)) == 2


def test_a_poison_batch_keeps_its_good_items_and_names_the_bad_ones(
    collector: CollectorProcess, kafka: KafkaServer
) -> None:
    trace = "b2" * 32
    body = json_request(trace, {}, {"spanId": ""}, {"startTimeUnixNano": 17}, {"name": "\x00"})
    answers = [posted(collector, body, Content_Type="application/json") for _ in range(2)]
    for answer in answers:
        partial = answer.json()["partialSuccess"]
        assert (answer.status_code, partial["rejectedSpans"]) == (200, "2")
        assert (
            "resourceSpans[0].scopeSpans[0].spans[1]: spanId is missing" in partial["errorMessage"]
        )
        assert "17 ns since 1970" in partial["errorMessage"]
    assert {each.name for each in stored(collector, trace)} == {"n0", "\x00"}
    letters = asyncio.run(letters_of(kafka.bootstrap, "otlp/traces"))
    ours = [each for each in letters if trace.encode() in (each.value or b"")]
    assert sorted(each.reason for each in ours) == ["bad_time", "missing_id"]


def test_an_operator_sees_them(collector: CollectorProcess, kafka: KafkaServer) -> None:
    posted(collector, json_request("b3" * 16, {"spanId": ""}), Content_Type="application/json")
    listed = subprocess.run(
        [sys.executable, "-m", "runfold.deploy", "dlq", "ls", "--each", "--format", "json",
         "--broker", kafka.bootstrap, "--topic", collector.topic],
        capture_output=True, check=True,
    )  # fmt: skip
    assert any("spanId is missing" in each["message"] for each in json.loads(listed.stdout))


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xff", PROTOBUF, 400),
        (b"{", JSON, 400),
        (b"no gzip", {**JSON, "Content-Encoding": "gzip"}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {**JSON, "Content-Encoding": "br"}, 415),
        (gzip.compress(bytes(65 << 20)), {**PROTOBUF, "Content-Encoding": "gzip"}, 413),
    ],
)
def test_what_cannot_be_decoded_is_answered_by_a_status(
    collector: CollectorProcess, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = httpx.post(f"{collector.url}/v1/traces", content=body, headers=headers, timeout=30)
    assert answer.status_code == status
    if headers["Content-Type"] == PROTOBUF["Content-Type"]:
        assert Status.FromString(answer.content).message
    else:
        assert answer.json()["message"]


def test_the_answer_of_a_partial_success_in_protobuf(collector: CollectorProcess) -> None:
    broken = span(1, trace="c4" * 16)
    broken.span_id = b""
    answer = posted(collector, traces(broken), Content_Type="application/x-protobuf")
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, told.rejected_spans) == (200, 1)
    assert "resource_spans[0].scope_spans[0].spans[0]: span_id is missing" in told.error_message


def test_without_kafka_it_asks_to_come_back(
    kafka_server_factory: Any, tmp_path: Path, topic_name: str
) -> None:
    server = kafka_server_factory()
    server.start()
    with CollectorProcess(server.bootstrap, topic_name, tmp_path) as serving:
        server.kill()
        answer = httpx.post(
            f"{serving.url}/v1/traces", content=traces(span(1)), headers=PROTOBUF, timeout=30
        )
        with pytest.raises(grpc.RpcError) as refused:
            exported(serving, traces(span(1)))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert Status.FromString(answer.content).code == Code.UNAVAILABLE
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    told = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
    retry = RetryInfo()
    assert Status.FromString(told).details[0].Unpack(retry)
    assert retry.retry_delay.seconds >= 1


def said_by(*command: str) -> Any:
    """Return what a command of ours prints as JSON."""
    ran = subprocess.run(
        [sys.executable, "-m", "runfold.deploy", *command, "--format", "json"],
        capture_output=True, check=True,
    )  # fmt: skip
    return json.loads(ran.stdout)


def test_a_session_of_claude_code_is_a_run_that_tells_what_never_came(
    collector: CollectorProcess, kafka: KafkaServer, tmp_path: Path
) -> None:
    session, lake = {"session.id": "sess-holes"}, tmp_path / "lake"
    given = {"input_tokens": "10", "output_tokens": 20, "cost_usd": "0.5", "model": "claude"}
    records = [
        log(
            "claude_code.api_request",
            {**session, **given, "event.name": "api_request", "event.sequence": number},
        )
        for number in (0, 1, 4)
    ]
    body = logs(records, {"service.name": "claude-code"}, "com.anthropic.claude_code.events")
    posted(collector, body, "/v1/logs", Content_Type="application/x-protobuf")
    at = "--lake", str(lake)
    with WorkerProcess(kafka.bootstrap, collector.topic, lake) as worker:
        stored_runs = PlainDuckDB(lake)
        wait_until(
            lambda: "sess-holes" in stored_runs.runs(), "the run is stored", workers=[worker]
        )
        worker.stop()
    (run,) = said_by("run", "sess-holes", *at)
    assert (run["agent_name"], run["llm_calls"], run["cost_usd"]) == ("claude-code", 3, 1.5)
    assert (run["input_tokens"], run["output_tokens"]) == (30, 60)
    assert run["record"]["sender_holes"] == [{"first": 2, "last": 3}]
    audit = said_by("audit", *at, "--broker", kafka.bootstrap, "--topic", collector.topic)
    assert audit["ok"], audit["findings"]


def exported(collector: CollectorProcess, body: bytes, **how: Any) -> bytes:
    """Send a request by gRPC and return the answer."""
    with grpc.insecure_channel(collector.grpc) as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        return bytes(call(body, timeout=30, **how))


def test_grpc_takes_the_same(collector: CollectorProcess) -> None:
    trace = "d5" * 16
    for how in ({}, {"compression": grpc.Compression.Gzip}):
        assert exported(collector, traces(span(1, AGENT, trace=trace)), **how) == b""
    assert [each.event_type for each in stored(collector, trace)] == ["run.started", "run.ended"]


def test_a_key_is_presented_in_metadata_in_headers_or_in_the_path(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    key = str(said_by("keys", "create", "--broker", kafka.bootstrap)[0]["key"])
    body, path = traces(span(1)), "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    authority, pem, private = trustme.CA(), tmp_path / "cert.pem", tmp_path / "key.pem"

    def show_a_new_certificate() -> None:
        issued = authority.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(private)
        issued.cert_chain_pems[0].write_to_path(pem)

    show_a_new_certificate()
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    tls = "--tls-cert", str(pem), "--tls-key", str(private)
    place = kafka.bootstrap, topic_name, tmp_path / "keys"

    def export(*metadata: tuple[str, str]) -> grpc.StatusCode:
        with grpc.secure_channel(serving.grpc, trusted) as channel:
            try:
                channel.unary_unary(path)(body, timeout=30, metadata=metadata)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

    with CollectorProcess(*place, "--require-keys", *tls) as serving:
        bearer = ("authorization", f"Bearer {key}")
        wait_until(lambda: export(bearer) is grpc.StatusCode.OK, "the key is known")
        assert export(("x-api-key", key)) is grpc.StatusCode.OK
        assert export() is grpc.StatusCode.UNAUTHENTICATED
        assert export(("x-api-key", "other")) is grpc.StatusCode.PERMISSION_DENIED
        show_a_new_certificate()
        assert export(bearer) is grpc.StatusCode.OK
        verified = ssl.create_default_context()
        authority.configure_trust(verified)
        https = serving.url.replace("http:", "https:")
        for prefix, status in ((f"/t/{key}", 200), ("/t/other", 403), ("", 401)):
            answer = httpx.post(
                f"{https}{prefix}/v1/traces", content=body, headers=PROTOBUF, verify=verified
            )
            assert answer.status_code == status


def test_grpc_refuses_what_it_cannot_decode(collector: CollectorProcess) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        exported(collector, b"\xff\xff")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ExportTraceServiceRequest" in refused.value.details()


def test_grpc_refuses_what_unpacks_to_too_much(collector: CollectorProcess) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        exported(collector, bytes(65 << 20), compression=grpc.Compression.Gzip)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
