"""Whatever is sent to any route of the collector, it answers as its OpenAPI says, and never 500.

The collector is a process over a real Kafka, so that what is accepted by accident is written too.
`make fuzz` does it for longer, by FUZZ_EXAMPLES.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from runfold.deploy.embedded import KafkaServer
from tests.collector_process import CollectorProcess

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
TIMEOUT_SECONDS = 60
BUSY = 503
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
KINDS = (
    "application/json",
    "application/x-protobuf",
    "application/x-ndjson",
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "",
)
ENCODINGS = ("identity", "gzip", "deflate", "br", "\xff")


@pytest.fixture(scope="module")
def collector(
    kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with CollectorProcess(kafka.bootstrap, "test-fuzz", folder) as serving:
        yield serving


@pytest.fixture(scope="module")
def openapi(collector: CollectorProcess) -> Any:
    return schemathesis.openapi.from_url(f"{collector.url}/openapi.json")


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """Write what was made of a body's schema, an item a line."""
    del context
    return b"\n".join(map(written, value if isinstance(value, list) else [value]))


@schemathesis.serializer("application/x-protobuf")
def bytes_of(context: Any, value: Any) -> bytes:
    del context
    return str(value).encode("utf-8", "surrogatepass")


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


def operations(collector: CollectorProcess) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, found in httpx.get(f"{collector.url}/openapi.json").json()["paths"].items():
        for method, operation in found.items():
            yield path, method, operation


def query_of(operation: dict[str, Any]) -> dict[str, str]:
    """Return the examples of an operation's parameters."""
    given = operation.get("parameters", [])
    return {each["name"]: each["example"] for each in given if "example" in each}


def test_every_route_that_takes_a_body_says_which_and_every_reference_leads_somewhere(
    collector: CollectorProcess,
) -> None:
    for path, method, operation in operations(collector):
        content = operation.get("requestBody", {}).get("content", {})
        assert bool(content) == (method in ("post", "patch")), path
        assert all(each["schema"] for each in content.values()), path
    description = httpx.get(f"{collector.url}/openapi.json").text
    defined = json.loads(description)["components"]["schemas"]
    wanted = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', description))
    assert wanted
    assert wanted == defined.keys() & wanted
    assert description.count('"$ref"') == description.count('"$ref":"#/components/schemas/')


def test_the_examples_of_the_description_are_taken_as_they_are(
    collector: CollectorProcess,
) -> None:
    tried = 0
    for path, method, operation in operations(collector):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            example = content.get("example")
            if example is None:
                continue
            tried += 1
            answer = httpx.request(
                method,
                f"{collector.url}{path.replace('{event_id}', '9a1c')}",
                params=query_of(operation),
                content=example if isinstance(example, str) else written(example),
                headers={"content-type": kind},
                timeout=TIMEOUT_SECONDS,
            )
            assert answer.status_code in (200, 201), (path, answer.text)
            said = answer.json() if answer.text else {}
            assert not said.get("rejected"), (path, said)
            assert "partialSuccess" not in said, (path, said)
    assert tried == 12


def test_every_route_answers_what_its_description_allows(
    collector: CollectorProcess, openapi: Any
) -> None:
    for result in openapi.get_all_operations():
        operation = result.ok()

        @FUZZ
        @given(case=operation.as_strategy())
        def try_it(case: Any) -> None:
            answer = case.call(timeout=TIMEOUT_SECONDS)
            if answer.status_code != BUSY:
                case.validate_response(answer, checks=[not_a_server_error, status_code_conformance])

        try_it()
    assert "Traceback" not in collector.said()


def test_any_bytes_to_any_route_are_no_defect_of_ours(
    collector: CollectorProcess, openapi: Any
) -> None:
    paths = sorted({each.ok().path for each in openapi.get_all_operations()})
    numbers = "".join(f'"{name}":1e999,' for name in ("occurred_at", "duration_ms", "value"))
    nasty = st.sampled_from(
        [
            b"[" * 100_000,
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            b'{"run_id":"\\ud800","event_id":"\\u0000"}',
            b"{" + numbers.encode() + b'"event_id":NaN}',
            b"\xff\xfe{}",
            b"",
            b"null",
            b'[{"events":null}]',
        ]
    )

    @settings(FUZZ, max_examples=EXAMPLES * 25)
    @given(
        path=st.sampled_from(paths),
        method=st.sampled_from(["POST", "PUT", "PATCH", "GET", "DELETE", "OPTIONS", "BREW"]),
        kind=st.sampled_from(KINDS),
        encoding=st.sampled_from(ENCODINGS),
        body=st.binary(max_size=2000) | nasty,
        filled=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
        query=st.binary(max_size=30),
    )
    def try_it(
        path: str,
        method: str,
        kind: str,
        encoding: str,
        body: bytes,
        filled: str,
        query: bytes,
    ) -> None:
        path = re.sub(r"\{[^}]*\}", lambda _: quote(filled, safe=""), path)
        headers = {"content-type": kind, "content-encoding": encoding}
        request = httpx.Request(
            method,
            f"{collector.url}{path}",
            params={"q": query.decode("latin-1")},
            content=body,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        )
        with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
            answer = client.send(request)
        assert answer.status_code < 500 or answer.status_code == BUSY, answer.text

    try_it()
    assert "Traceback" not in collector.said()


@settings(FUZZ, max_examples=EXAMPLES * 10)
@given(garbage=st.binary(min_size=1, max_size=300))
def test_what_is_no_http_at_all_is_refused(collector: CollectorProcess, garbage: bytes) -> None:
    with socket.create_connection(collector.address, timeout=TIMEOUT_SECONDS) as client:
        client.sendall(garbage + b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := client.recv(4096):
                answer += part
        except ConnectionResetError:
            pass
    assert not answer.startswith(b"HTTP/1.1 5")
    assert httpx.get(f"{collector.url}/healthz", timeout=TIMEOUT_SECONDS).status_code == 200
