"""What can be recorded of a run, by the run itself and by the client in its block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.producers import Client, Run, in_this_run
from runfold.producers.calls import Calls
from tests.memory_log import MemoryLog
from tests.recording import Recording
from tests.wild_values import Hostile, wild


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "journal")
    yield one
    one.client.close()


CALLS: dict[str, tuple[Callable[[Calls], object], str, dict[str, Any]]] = {
    "llm_call": (
        lambda on: on.llm_call(
            "claude-sonnet-4-5", provider="anthropic", input_tokens=10, output_tokens=2,
            cost_usd=0.5, duration_ms=timedelta(seconds=1), cache_read_tokens=3,
        ),
        "llm.called",
        {"model": "claude-sonnet-4-5", "provider": "anthropic", "input_tokens": 10,
         "output_tokens": 2, "cost_usd": 0.5, "duration_ms": 1000.0, "cache_read_tokens": 3},
    ),
    "llm_call by name": (lambda on: on.llm_call(model="m"), "llm.called", {"model": "m"}),
    "decision": (
        lambda on: on.decision("keep", "new"),
        "decision.made",
        {"decision": "keep", "decision_reason": "new"},
    ),
    "error text": (
        lambda on: on.error("no answer", error_type="Timeout"),
        "error.raised",
        {"error_message": "no answer", "error_type": "Timeout"},
    ),
    "error": (
        lambda on: on.error(ValueError("bad")),
        "error.raised",
        {"error_message": "bad", "error_type": "ValueError"},
    ),
    "metric": (
        lambda on: on.metric("recall", 0.93, "ratio"),
        "metric.recorded",
        {"name": "recall", "value": 0.93, "unit": "ratio"},
    ),
    "associate_commit": (
        lambda on: on.associate_commit(
            "abc1234", author="a@b.c", timestamp=datetime(2026, 1, 1, tzinfo=UTC)
        ),
        "commit.associated",
        {"git_commit_hash": "abc1234", "git_commit_source": "manual", "git_commit_author": "a@b.c",
         "git_commit_timestamp": "2026-01-01T00:00:00+00:00"},
    ),
    "transcript": (
        lambda on: on.transcript([{"role": "user", "content": "hi"}], session_id="s"),
        "transcript.saved",
        {"session_id": "s"},
    ),
    "heartbeat": (lambda on: on.heartbeat(), "run.heartbeat", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("of", ["run", "client"])
def test_a_call_is_an_event_of_its_run(recording: Recording, name: str, of: str) -> None:
    call, event_type, expected = CALLS[name]
    with recording.client.run() as run:
        call(run if of == "run" else recording.client)
    event = recording.events()[1]
    assert (event["run_id"], event["event_type"]) == (run.run_id, event_type)
    assert {key: event.get(key) for key in expected} == expected


@pytest.mark.parametrize("name", CALLS)
def test_outside_of_a_run_a_call_is_counted_as_failed_and_raises_nothing(
    recording: Recording, name: str
) -> None:
    CALLS[name][0](recording.client)
    recording.client.event("custom")
    with recording.client.tool("t"):
        pass
    assert recording.client.environment() == {}
    counts = recording.client.counts
    assert (counts.recorded, counts.failed) == (0, 4)


def test_a_run_may_be_named_after_its_end_and_anywhere(recording: Recording) -> None:
    with recording.client.run() as run:
        pass
    recording.client.associate_commit("abc1234", run_id=run.run_id)
    run.metric("late", 1)
    assert [each["event_type"] for each in recording.events()] == [
        "run.started", "run.ended", "commit.associated", "metric.recorded",
    ]  # fmt: skip
    assert {each["run_id"] for each in recording.events()} == {run.run_id}


def test_in_a_block_an_event_needs_no_run(recording: Recording) -> None:
    with recording.client.run() as run:
        recording.client.event("custom", name="n")
        recording.client.event("other", "custom", name="of the other")
    names = {each.get("name"): each["run_id"] for each in recording.events()}
    assert (names["n"], names["of the other"]) == (run.run_id, "other")


def test_a_tool_call_is_its_start_and_its_end(recording: Recording) -> None:
    with recording.client.run() as run, run.tool("fetch", url="https://e.org") as tool:
        tool.set(bytes_read=12)
    _, started, ended, _ = recording.events()
    assert (started["event_type"], ended["event_type"]) == ("tool.started", "tool.ended")
    assert started["span_id"] == ended["span_id"] == tool.span_id
    assert started["tool_name"] == ended["tool_name"] == "fetch"
    assert (ended["status"], "status" in started) == ("success", False)
    assert ended["duration_ms"] >= 0
    assert started["attributes"] == {"url": "https://e.org"}
    assert ended["attributes"] == {"url": "https://e.org", "bytes_read": 12}


async def test_a_tool_call_may_be_asynchronous(recording: Recording) -> None:
    async with recording.client.run() as run, run.tool("fetch"):
        await asyncio.sleep(0)
    assert [each["event_type"] for each in recording.events()][1:3] == [
        "tool.started", "tool.ended",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("bad"), "failure"), (asyncio.CancelledError(), "cancelled")]
)
def test_a_tool_that_fails_says_why_and_lets_the_exception_pass(
    recording: Recording, error: BaseException, status: str
) -> None:
    def fail() -> None:
        with recording.client.run() as run, run.tool("fetch") as tool:
            tool.set(status="success")
            raise error

    with pytest.raises(type(error)):
        fail()
    ended = recording.events()[2]
    assert (ended["status"], ended["error_type"]) == (status, type(error).__name__)


def test_a_status_may_be_said(recording: Recording) -> None:
    with recording.client.run() as run, run.tool("fetch") as tool:
        tool.set(status="timeout")
    assert recording.events()[2]["status"] == "timeout"


def test_what_happens_in_a_tool_names_it_as_its_parent(recording: Recording) -> None:
    with recording.client.run() as run:
        run.event("custom", name="outside")
        with run.tool("outer") as outer:
            recording.client.llm_call("m", name="in outer")
            with recording.client.tool("inner") as inner:
                run.decision("d", name="in inner")
                with recording.client.run("sub", name="sub") as sub:
                    sub.event("custom", name="in sub")
            run.event("custom", name="after inner")
        run.event("custom", name="after outer")
    parents = {
        each.get("name") or each.get("tool_name"): each.get("parent_span_id")
        for each in recording.events()
        if each["event_type"] != "run.ended"
    }
    parents.pop(None)
    assert parents == {
        "outside": None,
        "outer": None,
        "in outer": outer.span_id,
        "inner": outer.span_id,
        "in inner": inner.span_id,
        "sub": inner.span_id,
        "in sub": None,
        "after inner": outer.span_id,
        "after outer": None,
    }


async def test_concurrent_tools_nest_in_their_own_task(recording: Recording) -> None:
    async def work(n: int) -> tuple[str, str]:
        async with recording.client.tool(f"outer {n}") as outer:
            await asyncio.sleep(0)
            async with recording.client.tool(f"inner {n}") as inner:
                await asyncio.sleep(0)
            return inner.span_id, outer.span_id

    async with recording.client.run():
        expected = dict(await asyncio.gather(*(work(n) for n in range(5))))
    found = {
        each["span_id"]: each["parent_span_id"]
        for each in recording.events()
        if each["event_type"] == "tool.ended" and "parent_span_id" in each
    }
    assert found == expected


def test_a_thread_takes_the_run_along_when_it_is_asked_to(recording: Recording) -> None:
    both = threading.Barrier(2)

    def work(name: str) -> None:
        both.wait(10)
        with recording.client.tool(name):
            both.wait(10)

    with recording.client.run() as run, run.tool("outer") as outer, ThreadPoolExecutor(2) as pool:
        bound = in_this_run(work)
        for done in [pool.submit(bound, "a"), pool.submit(bound, "b")]:
            done.result()
    inner = [each for each in recording.events() if each.get("tool_name") in ("a", "b")]
    assert len(inner) == 4
    assert {each["run_id"] for each in inner} == {run.run_id}
    assert {each["parent_span_id"] for each in inner} == {outer.span_id}


def test_a_tool_of_a_run_makes_it_the_current_one_in_a_thread_that_has_none(
    recording: Recording,
) -> None:
    def work(run: Run) -> None:
        with run.tool("t"):
            recording.client.event("custom", name="inside")

    with recording.client.run() as run, ThreadPoolExecutor(1) as pool:
        pool.submit(work, run).result()
    (inside,) = [each for each in recording.events() if each.get("name") == "inside"]
    assert inside["run_id"] == run.run_id


def test_a_span_is_one_event_at_its_end(recording: Recording) -> None:
    with recording.client.run() as run, run.span("parse") as span:
        pass
    ended = recording.events()[1]
    assert (ended["event_type"], ended["name"]) == ("span.ended", "parse")
    assert (ended["span_id"], ended["status"]) == (span.span_id, "success")


def test_an_exception_tells_where_it_came_through(recording: Recording) -> None:
    def inner() -> None:
        raise KeyError("k")

    with recording.client.run() as run:
        try:
            inner()
        except KeyError as error:
            run.error(error)
    frames = recording.events()[1]["attributes"]["frames"]
    assert [each.rpartition(".")[2] for each in frames][-1] == "inner"
    assert all(__file__ in each for each in frames)


def test_metrics_go_where_they_belong(recording: Recording) -> None:
    with recording.client.run() as run:
        run.set_metrics({"items_succeeded": 3, "recall": 0.9, "verdict": "good"}, f1=1)
    _, updated, *measured, _ = recording.events()
    assert (updated["event_type"], updated["items_succeeded"]) == ("run.updated", 3)
    assert updated["attributes"] == {"verdict": "good"}
    assert {(each["name"], each["value"]) for each in measured} == {("recall", 0.9), ("f1", 1)}
    assert {each["event_type"] for each in measured} == {"metric.recorded"}


def test_times_and_durations_keep_their_unit_beside_a_value_that_cannot_be_read(
    recording: Recording,
) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    recording.client.event(
        "r", "custom", duration_ms=timedelta(seconds=1), occurred_at=moment, x=Hostile()
    )
    last = recording.last()
    assert (last["duration_ms"], last["occurred_at"]) == (1000.0, 1_767_225_600_000_000)


def test_a_long_transcript_is_recorded_whole_in_parts(recording: Recording) -> None:
    messages = [{"role": "user", "content": f"{n} " * 9000} for n in range(100)]
    with recording.client.run() as run:
        run.transcript(iter(messages))
    parts = [each["attributes"] for each in recording.events()[1:-1]]
    assert len(parts) > 1
    assert [each["part"] for each in parts] == list(range(1, len(parts) + 1))
    assert {(each["parts"], each["messages_total"]) for each in parts} == {(len(parts), 100)}
    assert [each for part in parts for each in part["messages"]] == messages
    assert parts[1]["messages"][0] == messages[parts[1]["first_message"]]


@pytest.mark.parametrize("messages", ["a text", {"role": "user"}, [], None, 5])
def test_whatever_is_given_as_a_transcript_is_one_event(
    recording: Recording, messages: Any
) -> None:
    with recording.client.run() as run:
        run.transcript(messages)
    kept = recording.events()[1]["attributes"]["messages"]
    assert kept == (messages if isinstance(messages, list) else [messages])


_fields = st.dictionaries(
    st.sampled_from(["tool_name", "span_id", "parent_span_id", "attributes", "duration_ms"]), wild
)


@pytest.fixture(scope="module")
def down(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    one = Recording(tmp_path_factory.mktemp("journal"))
    one.log.down = True
    yield one.client
    one.client.close(timeout=0)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(run_id=wild.filter(lambda each: each is not None), one=wild, other=wild, fields=_fields)
def test_no_call_raises_or_records_nothing_whatever_it_is_given(
    down: Client, run_id: Any, one: Any, other: Any, fields: dict[str, Any]
) -> None:
    before = down.counts
    with down.run(one, run_id=run_id, trace_id=other) as run:
        for on in (run, down):
            on.llm_call(one, run_id=run_id, provider=other, cost_usd=one)
            on.decision(one, other, run_id=run_id, **fields)
            on.error(one, run_id=run_id, **fields)
            on.metric(one, other, one, run_id=run_id)
            on.set_metrics(one, run_id=run_id, more=other)
            on.associate_commit(one, source=other, author=one, timestamp=other, run_id=run_id)
            on.transcript(one, run_id=run_id, **fields)
            on.heartbeat(run_id)
            with on.tool(one, run_id=run_id, **fields) as tool:
                tool.set(**fields)
                on.event(one)
            assert on.environment(run_id=run_id)["TRACEPARENT"]
    assert down.counts.failed == before.failed
    assert down.counts.recorded - before.recorded >= 24


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["broker", "endpoint", "agent", "limits", "heartbeat_seconds", "published", "privacy",
             "verbose", "project", "git"],
            wild,
        ),
    )
)  # fmt: skip
def test_no_settings_of_a_client_raise(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]
) -> None:
    log = MemoryLog()
    log.down = True
    root = tmp_path_factory.mktemp("journal")
    client = Client(journal_dir=root, publisher=log.open, **settings)
    with client.run() as run:
        run.event("custom")
    assert client.counts.recorded == (3 if client.enabled else 0)
    client.close(timeout=0)


@pytest.mark.parametrize("kind", ["hostile", "number", "bytes", "nul", "list", "empty"])
def test_a_journal_that_cannot_be_there_is_somewhere_else(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_dir: Any = {
        "hostile": Hostile(), "number": 5, "bytes": b"\xff", "nul": "\0", "list": ["x"],
        "empty": "",
    }[kind]  # fmt: skip
    monkeypatch.setenv("RUNFOLD_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("RUNFOLD_JOURNAL", raising=False)
    log = MemoryLog()
    client = Client(journal_dir=journal_dir, publisher=log.open)
    client.end_run(client.start_run())
    assert client.flush(20)
    client.close()
    assert len([each for each in log.events if each["event_type"] != "run.heartbeat"]) == 2
