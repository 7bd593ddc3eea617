"""The Agent Framework's API as its clients know it, against the real collector over real Kafka."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.deploy.embedded import KafkaServer
from runfold.schemas.event import Event
from runfold.schemas.objects import OBJECT_ATTRIBUTE
from runfold.sinks.objects import LakeObjects
from tests.buckets import S3Server
from tests.collector_process import CollectorProcess

KEY = "the-key-of-a-container"
BATCH = "/api/v1/telemetry/batch"
AS_JSON = {"Content-Type": "application/json"}
SAVED = "transcript.saved"

SEED = {
    "hostId": "laptop",
    "sessionId": "seed",
    "eventType": "agent_execution",
    "agentName": "tool-approve",
    "decision": "APPROVED",
    "toolName": "Bash",
    "toolInput": {"command": "ls"},
    "timestamp": "2026-01-02T03:04:05.678Z",
}
HEAD = {
    "hostId": "laptop",
    "sessionId": "head",
    "eventType": "hook_decision",
    "agentName": "tool-approve",
    "hookName": "PreToolUse",
    "toolName": "Bash",
    "mode": "direct",
    "executionType": "typescript",
    "decision": "APPROVE",
    "workingDir": "/work",
    "latencyMs": 12,
    "success": True,
    "errorCount": 0,
}
LLM = {
    **HEAD,
    "executionType": "llm",
    "modelTier": "haiku",
    "modelName": "claude-haiku",
    "promptTokens": 100,
    "completionTokens": 20,
    "totalTokens": 120,
    "cachedTokens": 30,
    "reasoningTokens": 5,
    "cost": 0.00123456,
    "extraData": {"why": {"depth": [1, 2.5, None, "ü"]}},
}


@pytest.fixture(scope="module")
def collectors(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give an open collector, and one with a startup key that is strict; both of one topic."""
    folder = tmp_path_factory.mktemp("collectors")
    topic = f"test-{folder.name}-agent-framework"
    told = {
        "AGENT_FRAMEWORK_API_KEY": KEY,
        "TELEMETRY_HOST_ID": "laptop",
        "RUNFOLD_AGENT_FRAMEWORK_STRICT": "1",
    }
    with (
        CollectorProcess(kafka.bootstrap, topic, folder / "open") as lenient,
        CollectorProcess(kafka.bootstrap, topic, folder / "strict", environment=told) as strict,
    ):
        yield lenient, strict


@pytest.fixture(scope="module")
def collector(collectors: tuple[CollectorProcess, CollectorProcess]) -> CollectorProcess:
    return collectors[0]


@pytest.fixture
def api(collector: CollectorProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=collector.url, timeout=30) as client:
        yield client


@pytest.fixture
def strict(collectors: tuple[CollectorProcess, CollectorProcess]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=collectors[1].url, timeout=30) as client:
        yield client


def batch(*events: Any) -> dict[str, Any]:
    return {"events": list(events)}


def paths(answer: httpx.Response) -> list[list[str | int]]:
    body = answer.json()
    assert (answer.status_code, body["success"]) == (400, False)
    assert body["error"]["name"] == "ZodError"
    return [issue["path"] for issue in body["error"]["issues"]]


async def events_of(collector: CollectorProcess, session: str) -> list[Event]:
    return [event for event in await collector.events() if event.session_id == session]


def attributes(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(event.attributes or "{}")
    return found


async def test_an_event_of_the_first_generation_becomes_a_decision(
    api: httpx.Client, collector: CollectorProcess
) -> None:
    answer = api.post(BATCH, json=batch(SEED))
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1})
    started, made = await events_of(collector, "seed")
    assert (started.event_type, started.job_type) == ("run.started", "agent_framework")
    assert (made.event_type, made.run_id, made.host) == ("decision.made", "seed@laptop", "laptop")
    assert (made.tool_name, made.agent_name) == ("Bash", "tool-approve")
    assert made.occurred_at == 1_767_323_045_678_000
    assert made.decision == "APPROVE"
    assert attributes(made) == {
        "event_type": "agent_execution",
        "decision": "APPROVED",
        "tool_input": {"command": "ls"},
    }


async def test_what_a_model_spent_counts_once(
    api: httpx.Client, collector: CollectorProcess
) -> None:
    sent = {**LLM, "sessionId": "spent", "decision": "ERROR", "decisionReason": "no"}
    assert api.post(BATCH, json=batch(sent)).json() == {"accepted": 1}
    events = {each.event_type: each for each in await events_of(collector, "spent")}
    assert set(events) == {"run.started", "decision.made", "llm.called", "error.raised"}
    spending = [each for each in events.values() if each.cost_usd or each.input_tokens]
    assert [each.event_type for each in spending] == ["llm.called"]
    call = events["llm.called"]
    assert (call.model, call.cost_usd) == ("claude-haiku", 0.00123456)
    assert (call.input_tokens, call.cache_read_tokens) == (70, 30)
    assert (call.output_tokens, call.reasoning_tokens) == (20, 5)
    assert events["error.raised"].error_message == "no"
    kept = attributes(events["decision.made"])
    assert kept["extra_data"] == LLM["extraData"]
    assert (kept["cost"], kept["prompt_tokens"], kept["execution_type"]) == (0.00123456, 100, "llm")


async def test_an_event_with_a_time_is_the_same_one_when_it_comes_again(
    api: httpx.Client, collector: CollectorProcess
) -> None:
    timed = {**HEAD, "sessionId": "again", "timestamp": "2026-01-08T00:00:00.000Z"}
    for _ in range(2):
        assert api.post(BATCH, json=batch(timed, timed)).json() == {"accepted": 2}
    for key in ("one", "one", "two"):
        sent = batch({**HEAD, "sessionId": "again"})
        assert api.post(BATCH, json=sent, headers={"Idempotency-Key": key}).status_code == 200
    found = [each for each in await events_of(collector, "again") if each.decision]
    assert len(found) == 2 + 2


async def test_bad_items_are_answered_one_by_one_and_the_others_kept(
    api: httpx.Client, collector: CollectorProcess
) -> None:
    good = {**HEAD, "sessionId": "mixed"}
    answer = api.post(
        BATCH, json=batch(good, {**good, "latencyMs": -1}, 7, {**good, "hookName": None}, good)
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["accepted"] == 2
    assert [each["index"] for each in body["rejected"]] == [1, 2, 3]
    assert body["rejected"][0]["issues"][0]["path"] == ["events", 1, "latencyMs"]
    assert body["rejected"][2]["issues"][0]["message"] == "Expected string, received null"
    decided = [each for each in await events_of(collector, "mixed") if each.decision]
    assert len(decided) == 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"agentName": "a" * 64}, 200),
        ({"agentName": "a" * 65}, 200),
        ({"agentName": "a" * 100}, 200),
        ({"agentName": "a" * 101}, 400),
        ({"workingDir": "w" * 1000, "hostId": "h" * 255}, 200),
        ({"latencyMs": 1.5}, 200),
        ({"latencyMs": 3_600_000.5}, 400),
        ({"timestamp": "soon"}, 400),
        ({"timestamp": "1767323045"}, 400),
        ({"timestamp": "0001-01-01T00:00:00+23:59"}, 400),
        ({"timestamp": ""}, 200),
        ({"cost": 10_000}, 200),
        ({"cost": 10_000.01}, 400),
        ({"decisionReason": "a\x00b"}, 200),
        ({"sessionId": "s\x00", "hostId": "h@\x00%"}, 200),
        ({"totalTokens": 10**30}, 400),
        ({"promptTokens": True}, 400),
        ({"executionType": "llm"}, 400),
        ({"extraData": []}, 400),
        ({"eventType": ""}, 400),
    ],
)
async def test_edge_values_are_stored_or_named(
    api: httpx.Client, collector: CollectorProcess, changes: dict[str, Any], status: int
) -> None:
    sent = {**HEAD, "sessionId": uuid.uuid4().hex, **changes}
    answer = api.post(BATCH, content=json.dumps(batch(sent)), headers=AS_JSON)
    assert answer.status_code == status, answer.text
    if status == 400:
        assert {str(path[2]) for path in paths(answer)} <= {*changes, "modelTier", "modelName"}
        return
    (event,) = [each for each in await events_of(collector, sent["sessionId"]) if each.decision]
    assert (event.decision_reason, event.host) == (changes.get("decisionReason"), sent["hostId"])
    assert (event.duration_ms, event.agent_name) == (sent["latencyMs"], sent["agentName"])


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (b'{"events": [', "Malformed JSON in request body"),
        (b"\xff", "Malformed JSON in request body"),
        (b"[" * 100_000, "Malformed JSON in request body"),
        (b'{"events": [{"latencyMs": NaN}]}', "Malformed JSON in request body"),
        (b'{"events": [{"latencyMs": 1' + b"0" * 400 + b"}]}", "Malformed JSON in request body"),
        (b"7", "Expected object, received number"),
        (b"{}", "Required"),
        (b'{"events": {}}', "Expected array, received object"),
        (b'{"events": []}', "Array must contain at least 1 element(s)"),
        (orjson.dumps(batch(*[HEAD] * 101)), "Array must contain at most 100 element(s)"),
    ],
)
def test_a_body_that_is_no_batch_is_told_so(api: httpx.Client, body: bytes, answered: str) -> None:
    answer = api.post(BATCH, content=body, headers=AS_JSON)
    assert answer.status_code == 400
    assert answered in answer.text
    other = api.post(BATCH, content=body, headers={"Content-Type": "text/plain"})
    assert paths(other) == [["events"]]


async def test_half_a_character_and_gzip_are_taken(
    api: httpx.Client, collector: CollectorProcess
) -> None:
    sent = json.dumps(batch({**HEAD, "sessionId": "half", "decisionReason": "cut \ud83d"}))
    headers = {**AS_JSON, "Content-Encoding": "gzip"}
    assert api.post(BATCH, content=gzip.compress(sent.encode()), headers=headers).is_success
    (event,) = [each for each in await events_of(collector, "half") if each.decision]
    assert event.decision_reason == "cut \ufffd"


def test_keys_hosts_and_strictness_are_as_in_the_original(strict: httpx.Client) -> None:
    key = {"X-API-Key": KEY}
    for path, method in ((BATCH, "POST"), (BATCH, "GET"), ("/api/v1/transcript/", "POST")):
        missing = strict.request(method, path)
        assert (missing.status_code, missing.json()) == (401, {"error": "Missing X-API-Key header"})
        empty = strict.request(method, path, headers={"X-API-Key": ""})
        assert empty.status_code == 401
        wrong = strict.request(method, path, headers={"X-API-Key": KEY + "x"})
        assert (wrong.status_code, wrong.json()) == (403, {"error": "Invalid API key"})
    lost = strict.get(BATCH, headers=key)
    assert (lost.status_code, lost.text) == (404, "404 Not Found")
    assert strict.post(BATCH, json=batch(HEAD), headers=key).json() == {"accepted": 1}
    assert strict.post(BATCH, json=batch(*[LLM] * 100), headers=key).json() == {"accepted": 100}
    other = strict.post(BATCH, json=batch(HEAD, {**HEAD, "hostId": "other"}), headers=key)
    assert (other.status_code, other.json()) == (
        400,
        {"error": "Host ID mismatch: expected laptop"},
    )
    hijack = {"sessionId": "head", "hostId": "other", "transcript": []}
    refused = strict.post("/api/v1/transcript", json=hijack, headers=key)
    assert (refused.status_code, refused.json()) == (400, {"error": "Host ID mismatch"})
    seed = strict.post(BATCH, json=batch(HEAD, SEED), headers=key)
    assert ["events", 1, "decision"] in paths(seed)
    assert ["events", 1, "hookName"] in paths(seed)
    llm = strict.post(BATCH, json=batch({**HEAD, "executionType": "llm"}), headers=key)
    assert paths(llm) == [["events", 0, "modelTier"], ["events", 0, "modelName"]]


async def test_of_a_strict_batch_with_one_bad_item_nothing_is_stored(
    strict: httpx.Client, collector: CollectorProcess
) -> None:
    good = {**HEAD, "sessionId": "strict"}
    sent = batch(good, {**good, "decision": "approve"})
    answer = strict.post(BATCH, json=sent, headers={"X-API-Key": KEY})
    assert paths(answer) == [["events", 1, "decision"]]
    assert await events_of(collector, "strict") == []


def test_health_name_and_pages_of_other_origins(api: httpx.Client) -> None:
    assert api.get("/api/v1/health").json() == {"status": "healthy", "database": "connected"}
    name = {"service": "agent-telemetry-collector", "version": "1.0.0"}
    assert api.get("/").json() == name
    assert "<html" in api.get("/", headers={"Accept": "text/html,*/*;q=0.8"}).text
    asked = api.options(BATCH, headers={"Origin": "http://page", "X-API-Key": ""})
    assert asked.status_code == 204
    for answer in (asked, api.post(BATCH), api.get("/api/v1/health")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "GET,POST"


async def test_a_transcript_replaces_the_one_before(
    api: httpx.Client, collector: CollectorProcess
) -> None:
    def post(*messages: dict[str, Any], host: str = "laptop") -> None:
        sent = {"sessionId": "talk", "hostId": host, "transcript": messages}
        answer = api.post("/api/v1/transcript", json=sent)
        assert (answer.status_code, answer.json()) == (200, {"success": True})

    one = {"role": "user", "content": "", "index": 0}
    two = {"role": "assistant", "content": "yes", "index": 0, "more": [1]}
    post(one)
    post(one, two)
    post(one)
    post()
    post(two, host="other")
    saved = [each for each in await events_of(collector, "talk") if each.event_type == SAVED]
    of_laptop = [attributes(each) for each in saved if each.host == "laptop"]
    assert [each["messages"] for each in of_laptop] == [
        [one], [one, two], [one], [],
    ]  # fmt: skip
    assert {each.run_id for each in saved} == {"talk@laptop", "talk@other"}
    counts = {"user": 1, "assistant": 1, "tool_result": 0}
    assert of_laptop[1]["message_counts"] == counts


async def test_a_large_transcript_is_an_object_that_its_event_names(
    api: httpx.Client, collector: CollectorProcess
) -> None:
    message = {"role": "tool_result", "content": "ü" * 1_000_000, "index": 3}
    sent = {"sessionId": "large", "hostId": "laptop", "transcript": [message] * 12}
    content = json.dumps(sent, ensure_ascii=False)
    assert len(content.encode()) > 20_000_000
    for _ in range(2):
        assert api.post("/api/v1/transcript", content=content, headers=AS_JSON).is_success
    saved = [each for each in await events_of(collector, "large") if each.event_type == SAVED]
    named = [attributes(each)[OBJECT_ATTRIBUTE] for each in saved]
    assert named[0] == named[1]
    assert attributes(saved[0])["messages_total"] == 12
    lake = collector.log.parent / "lake"
    kept = LakeObjects(lake).get(named[0]["sha256"])
    assert kept is not None
    assert len(kept) == named[0]["bytes"]
    assert orjson.loads(kept)["messages"] == sent["transcript"]
    files = [each.name for each in (lake / "objects").rglob("*.zst")]
    assert files.count(Path(named[0]["path"]).name) == 1
    too_long = {**message, "content": "x" * 1_000_001}
    refused = api.post("/api/v1/transcript", json={**sent, "transcript": [too_long]})
    assert paths(refused) == [["transcript", 0, "content"]]


async def test_a_bucket_keeps_large_transcripts_or_they_are_sent_again(
    kafka: KafkaServer, topic_name: str, tmp_path: Path, s3: S3Server
) -> None:
    message = {"role": "user", "content": "x" * 1_000_000, "index": 0}
    sent = {"sessionId": "bucket", "hostId": "laptop", "transcript": [message] * 3}
    lake = s3.new_lake()
    with CollectorProcess(kafka.bootstrap, topic_name, tmp_path, "--lake", str(lake)) as serving:
        s3.fail(status=503)
        refused = httpx.post(f"{serving.url}/api/v1/transcript", json=sent, timeout=120)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert await events_of(serving, "bucket") == []
        s3.fail()
        assert httpx.post(f"{serving.url}/api/v1/transcript", json=sent, timeout=60).is_success
        saved = [each for each in await events_of(serving, "bucket") if each.event_type == SAVED]
    kept = LakeObjects(lake).get(attributes(saved[0])[OBJECT_ATTRIBUTE]["sha256"])
    assert orjson.loads(kept or b"")["messages"] == sent["transcript"]


async def test_large_attributes_are_an_object_too(
    api: httpx.Client, collector: CollectorProcess
) -> None:
    sent = {**HEAD, "sessionId": "wide", "extraData": {"text": "x" * 2_000_000}}
    assert api.post(BATCH, json=batch(sent)).json() == {"accepted": 1}
    (event,) = [each for each in await events_of(collector, "wide") if each.decision]
    assert attributes(event)["working_dir"] == "/work"
    kept = LakeObjects(collector.log.parent / "lake").get(
        attributes(event)[OBJECT_ATTRIBUTE]["sha256"]
    )
    assert orjson.loads(kept or b"")["extra_data"] == sent["extraData"]


@pytest.mark.parametrize("told", ["late", "first"])
async def test_the_cost_of_a_generation_counts_once(
    api: httpx.Client, collector: CollectorProcess, told: str
) -> None:
    session = f"generation-{told}"
    call = {**LLM, "sessionId": session, "generationId": "gen-1,gen-2"}
    if told == "late":
        del call["cost"]
    assert api.post(BATCH, json=batch(call)).is_success
    late = {"hostId": "laptop", "sessionId": session, "generationId": "gen-1,gen-2", "cost": 0.5}
    for _ in range(2):
        answer = api.post("/api/v1/telemetry/cost", json=late)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    events = await events_of(collector, session)
    costs = [each.cost_usd for each in events if each.cost_usd is not None]
    assert costs == ([0.5] if told == "late" else [0.00123456])
    assert len([each for each in events if each.event_type == "llm.called"]) == 1
    assert paths(api.post("/api/v1/telemetry/cost", json={**late, "cost": "1"})) == [["cost"]]


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_ITEMS = st.fixed_dictionaries(
    {name: st.just(value) | _ANYTHING for name, value in LLM.items()},
    optional={"timestamp": _ANYTHING, "generationId": _ANYTHING, "unknown": _ANYTHING},
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_ITEMS | _ANYTHING, max_size=4) | _ANYTHING)
def test_every_body_is_taken_or_refused_with_a_reason(api: httpx.Client, events: Any) -> None:
    answer = api.post(BATCH, content=json.dumps({"events": events}), headers=AS_JSON)
    if answer.status_code == 200:
        body = answer.json()
        assert body["accepted"] + len(body.get("rejected", [])) == len(events)
    else:
        assert answer.status_code == 400
        assert answer.text == "Malformed JSON in request body" or paths(answer)
