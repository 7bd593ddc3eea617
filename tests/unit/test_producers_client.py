"""The client: never raises, nests runs, and numbers events without holes."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.producers.journal import JournalLimits
from runfold.producers.journal_folder import journals_below
from runfold.producers.journal_reader import JournalReader
from runfold.producers.orphans import ship_orphans
from runfold.producers.shipping import parse_line
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.topic import EVENTS
from tests.memory_log import MemoryLog, MemoryPublisher
from tests.recording import Recording
from tests.wild_values import wild

_encode = SparseEncoder(latest("event"))


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "journal")
    yield one
    one.client.close()


def test_a_run_is_an_event_at_its_start_and_one_at_its_end(recording: Recording) -> None:
    run_id = recording.client.start_run("crawler", project="p", agent_version="1")
    recording.client.end_run(run_id, items_succeeded=3)
    started, ended = recording.events()
    assert started["event_type"] == "run.started"
    assert (started["agent_name"], started["project"]) == ("crawler", "p")
    assert started["run_id"] == ended["run_id"] == run_id
    assert (ended["status"], ended["items_succeeded"]) == ("success", 3)
    assert ended["duration_ms"] >= 0


def test_every_event_names_its_agent(recording: Recording) -> None:
    run_id = recording.client.start_run("crawler")
    recording.client.event(run_id, "tool.ended")
    assert {each["agent_name"] for each in recording.events()} == {"crawler"}


def test_events_of_a_run_are_numbered_from_one_by_a_producer_of_its_own(
    recording: Recording,
) -> None:
    runs = [recording.client.start_run() for _ in range(3)]
    for _ in range(4):
        for run_id in runs:
            recording.client.event(run_id, "custom")
    ids = EventIdSet()
    for each in recording.events():
        ids.add(each["event_id"])
    assert list(ids.ranges.values()) == [[1, 5]] * 3


def test_a_field_that_no_column_has_goes_into_the_attributes(recording: Recording) -> None:
    recording.client.event("r", "custom", name="n", url="https://e.org", attributes={"a": 1})
    assert recording.last()["attributes"] == {"url": "https://e.org", "a": 1}


@pytest.mark.parametrize(
    ("given_fields", "kept"),
    [
        ({"input_tokens": "12"}, {"input_tokens": 12}),
        ({"input_tokens": 12.0}, {"input_tokens": 12}),
        ({"cost_usd": "0.5"}, {"cost_usd": 0.5}),
        ({"cost_usd": Decimal("0.25")}, {"cost_usd": 0.25}),
        ({"cost_usd": 1}, {"cost_usd": 1}),
        ({"duration_ms": timedelta(seconds=1)}, {"duration_ms": 1000.0}),
        ({"session_id": UUID(int=1)}, {"session_id": "00000000-0000-0000-0000-000000000001"}),
        ({"tool_name": b"t"}, {"tool_name": "t"}),
        ({"agent_version": 2}, {"agent_version": "2"}),
        ({"model": None}, {}),
    ],
)
def test_a_value_of_another_type_is_converted_where_nothing_is_lost(
    recording: Recording, given_fields: dict[str, Any], kept: dict[str, Any]
) -> None:
    recording.client.event("r", "custom", **given_fields)
    last = recording.last()
    assert {name: last[name] for name in kept} == kept
    assert last["attributes"] == {}


@pytest.mark.parametrize(
    ("field", "value", "kept", "reason"),
    [
        ("input_tokens", "many", "many", "not_int"),
        ("input_tokens", 12.5, 12.5, "not_int"),
        ("input_tokens", True, True, "not_int"),
        ("input_tokens", 2**63, str(2**63), "not_int"),
        ("input_tokens", 2**70, str(2**70), "not_int"),
        ("cost_usd", math.nan, "nan", "not_float"),
        ("cost_usd", 10**400, str(10**400), "not_float"),
        ("tool_name", ["a"], ["a"], "not_str"),
        ("occurred_at", "yesterday", "yesterday", "not_a_time"),
        ("occurred_at", datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00+00:00", "not_a_time"),
    ],
)
def test_a_value_that_does_not_fit_its_column_moves_to_the_attributes_and_is_marked(
    recording: Recording, field: str, value: object, kept: object, reason: str
) -> None:
    recording.client.event("r", "custom", **{field: value})  # type: ignore[call-overload]
    assert recording.last()["attributes"] == {field: kept, "runfold.altered": {field: reason}}
    assert recording.client.counts.tamed == 1


def test_a_time_may_be_given(recording: Recording) -> None:
    recording.client.event("r", "custom", occurred_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert recording.last()["occurred_at"] == 1_767_225_600_000_000


def test_a_lone_surrogate_is_escaped_and_marked(recording: Recording) -> None:
    recording.client.event("r", "custom", error_message="a\ud800b")
    last = recording.last()
    assert last["error_message"] == "a\\ud800b"
    assert last["attributes"] == {"runfold.altered": {"error_message": "surrogates"}}


@pytest.mark.parametrize("where", ["error_message", "attributes", "payload"])
def test_what_is_huge_is_cut_to_what_a_worker_takes(recording: Recording, where: str) -> None:
    huge: Any = "x" * 50_000_000
    fields: dict[str, Any] = {where: {"a": huge} if where == "attributes" else huge}
    recording.client.event("r", "custom", **fields)
    recording.events()
    event = recording.log.events[-1]
    assert len(_encode(event)) <= EVENTS.max_event_bytes
    assert "runfold.altered" in event["attributes"]


def test_many_values_that_are_huge_together_are_cut(recording: Recording) -> None:
    many = [{"key": "v" * 300, "more": list(range(50))} for _ in range(20_000)]
    recording.client.event("r", "custom", tool_name="kept", payload=many)
    recording.events()
    event = recording.log.events[-1]
    assert len(_encode(event)) <= EVENTS.max_event_bytes
    assert event["tool_name"] == "kept"


def test_circular_structures_are_cut_off(recording: Recording) -> None:
    circle: dict[str, Any] = {"name": "circle"}
    circle["self"] = circle
    recording.client.event("r", "custom", circle=circle)
    assert recording.last()["attributes"]["circle"]["self"]["self"]["name"] == "circle"


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, math.nan], {"deep": -math.inf}])
def test_a_number_that_json_has_not_is_kept_as_text_and_marked(
    recording: Recording, value: object
) -> None:
    recording.client.event("r", "custom", measure=value)
    attributes = recording.last()["attributes"]
    assert "null" not in json.dumps(attributes)
    assert set(attributes.pop("runfold.altered").values()) == {"not_finite"}
    assert re.search("nan|inf", json.dumps(attributes))


class _Closed(dict[str, Any]):
    """Cannot be looked into, and does not even tell what it is."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")

    def items(self) -> Any:
        raise RuntimeError("no")


def test_an_object_that_cannot_be_read_is_named_and_marked(recording: Recording) -> None:
    recording.client.event("r", "custom", tool_name="t", payload=[_Closed(a=object())])
    last = recording.last()
    assert last["tool_name"] == "t"
    assert last["attributes"]["payload"] == ["<unreadable _Closed>"]
    assert last["attributes"]["runfold.altered"] == {"payload[0]": "unreadable"}


_PARAMETERS = {"run_id", "event_type", "name", "agent_name", "parent", "status"}
_names = st.sampled_from(
    ["input_tokens", "cost_usd", "tool_name", "attributes", "occurred_at", "event_id", "self"]
) | st.text(min_size=1).filter(lambda name: name not in _PARAMETERS)


@pytest.fixture(scope="module")
def down(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    one = Recording(tmp_path_factory.mktemp("journal"))
    one.log.down = True
    yield one
    one.client.close(timeout=0)


def _journaled(root: Path) -> list[bytes]:
    (folder,) = journals_below(root)
    reader = JournalReader(folder, live=True)
    lines: list[bytes] = []
    while (chunk := reader.read()) is not None:
        lines += chunk.lines
        reader.position = chunk.end
    reader.close()
    return lines


def is_something(value: object) -> bool:
    return value is not None


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    run_id=wild.filter(is_something),
    event_type=wild,
    name=wild,
    fields=st.dictionaries(_names, wild),
)
def test_any_arguments_at_all_are_recorded_as_events_that_encode(
    down: Recording, run_id: Any, event_type: Any, name: Any, fields: dict[str, Any]
) -> None:
    client, before = down.client, down.client.counts
    client.event(run_id, event_type, name=name, **fields)
    client.end_run(run_id, event_type, **fields)
    started = client.start_run(name, run_id=run_id, parent=event_type, **fields)
    with client.run(name, run_id=run_id, parent=event_type, **fields) as run:
        run.event(event_type, **fields)
        run.set(status=name, **fields)
    assert type(started) is str
    assert client.counts.failed == 0
    recorded = client.counts.recorded - before.recorded
    assert recorded >= 6
    root = client._recorder._outbox.root
    for line in _journaled(root)[-recorded:]:
        event = parse_line(line)
        assert len(_encode(event)) <= EVENTS.max_event_bytes
        assert event["run_id"]
        assert event["event_type"]


def test_a_run_inside_a_run_has_it_as_its_parent(recording: Recording) -> None:
    with recording.client.run("outer") as outer:
        with recording.client.run("inner") as inner:
            innermost = recording.client.start_run("innermost")
        after = recording.client.start_run("after")
    alone = recording.client.start_run("alone")
    parents = {
        each["run_id"]: each.get("parent_run_id")
        for each in recording.events()
        if each["event_type"] == "run.started"
    }
    assert parents == {
        outer.run_id: None,
        inner.run_id: outer.run_id,
        innermost: inner.run_id,
        after: outer.run_id,
        alone: None,
    }


def test_a_parent_that_is_given_wins(recording: Recording) -> None:
    with recording.client.run() as outer, recording.client.run(parent="elsewhere"):
        outer.run("child").__enter__().__exit__(None, None, None)
    events = [each for each in recording.events() if each["event_type"] == "run.started"]
    assert [each.get("parent_run_id") for each in events] == [None, "elsewhere", outer.run_id]


def test_the_parent_may_be_given_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNFOLD_PARENT_RUN", "of-another-process")
    one = Recording(tmp_path)
    one.client.start_run()
    assert one.last()["parent_run_id"] == "of-another-process"
    one.client.close()


async def test_concurrent_tasks_each_keep_to_their_own_run(recording: Recording) -> None:
    async def work(name: str) -> tuple[str, str]:
        async with recording.client.run(name) as outer:
            await asyncio.sleep(0)
            async with recording.client.run(f"{name} child") as inner:
                await asyncio.sleep(0)
            return inner.run_id, outer.run_id

    expected = dict(await asyncio.gather(*(work(str(n)) for n in range(5))))
    found = {
        each["run_id"]: each["parent_run_id"]
        for each in recording.events()
        if "parent_run_id" in each
    }
    assert found == expected


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("broken"), "failure"),
        (KeyboardInterrupt("broken"), "cancelled"),
        (SystemExit("broken"), "cancelled"),
        (asyncio.CancelledError("broken"), "cancelled"),
    ],
)
def test_an_exception_ends_the_run_and_goes_on(
    recording: Recording, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error), match="broken"), recording.client.run():
        raise error
    last = recording.last()
    assert (last["event_type"], last["status"]) == ("run.ended", status)
    assert (last["error_type"], last["error_message"]) == (type(error).__name__, "broken")


def test_what_is_set_is_an_update_and_the_status_is_for_the_end(recording: Recording) -> None:
    with recording.client.run() as run:
        run.set(git_branch="main", status="partial")
    _, updated, ended = recording.events()
    assert (updated["event_type"], updated["git_branch"]) == ("run.updated", "main")
    assert "status" not in updated
    assert ended["status"] == "partial"


def test_threads_number_the_events_of_a_run_without_holes_or_doubles(recording: Recording) -> None:
    run_id = recording.client.start_run()

    def work() -> None:
        for _ in range(2000):
            recording.client.event(run_id, "custom")

    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(work)
    sequences = [int(each["event_id"].rpartition("-")[2]) for each in recording.events()]
    assert sorted(sequences) == list(range(1, 16_002))


def test_a_run_in_use_is_numbered_on_while_many_others_come_and_go(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runfold.producers.recorder._RUNS_KEPT", 10)
    for n in range(100):
        recording.client.event("in use", "custom")
        recording.client.event(f"other {n}", "custom")
    recording.client.event("other 0", "custom")
    producers = {
        run_id: {
            e["event_id"].rpartition("-")[0] for e in recording.events() if e["run_id"] == run_id
        }
        for run_id in ("in use", "other 0")
    }
    assert [len(each) for each in producers.values()] == [1, 2]
    assert len(recording.client._recorder._runs) <= 10


def test_an_event_recorded_while_another_is_being_recorded_is_kept(recording: Recording) -> None:
    class Nested:
        def __repr__(self) -> str:
            recording.client.event("r", "inner")
            return "nested"

    with recording.client._recorder._outbox.lock:
        recording.client.event("r", "outer", payload=Nested())
    assert sorted(each["event_type"] for each in recording.events()) == ["inner", "outer"]


def test_a_forked_child_writes_a_journal_of_its_own(tmp_path: Path) -> None:
    one = Recording(tmp_path)
    one.log.down = True
    run_id = one.client.start_run()
    one.client.event(run_id, "custom", name="parent")
    with one.client._recorder._outbox.lock:  # held by another thread as far as the child knows
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                one.client.event(run_id, "custom", name="child")
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    one.client.event(run_id, "custom", name="parent")
    one.client.close(timeout=0)
    log = MemoryLog()
    asyncio.run(ship_orphans(tmp_path, MemoryPublisher(log)))
    ids = EventIdSet()
    assert all(ids.add(each) for each in log.ids)
    assert sorted(ids.ranges.values()) == [[1, 1], [1, 3]]
    assert sorted(each.get("name", "") for each in log.events) == ["", "child", "parent", "parent"]


def test_a_parents_journal_is_claimed_by_no_one_while_it_lives_and_its_child_does_not_hold_it(
    tmp_path: Path,
) -> None:
    script = """
import os, sys, time
from runfold.producers import Client
from tests.memory_log import MemoryLog
log = MemoryLog(); log.down = True
client = Client(journal_dir=sys.argv[1], publisher=log.open)
client.start_run()
if os.fork() == 0:
    sys.stdout.write("forked"); sys.stdout.flush()
    sys.stdin.read()
os._exit(0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(6) == b"forked"
        parent.wait()
        log = MemoryLog()
        asyncio.run(ship_orphans(tmp_path, MemoryPublisher(log)))
        assert len(log.events) == 1
        assert parent.stdin is not None
        parent.stdin.close()


def _run_script(body: str, root: Path) -> subprocess.CompletedProcess[str]:
    head = f"""
import atexit, os
atexit.register(lambda: os.write(1, b"%d" % len(log.events)))  # runs after the client's own
from runfold.producers import Client
from tests.memory_log import MemoryLog
log = MemoryLog()
client = Client(agent="script", journal_dir={str(root)!r}, publisher=log.open)
"""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", head + body],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_script_that_just_ends_has_shipped_its_events(tmp_path: Path) -> None:
    done = _run_script("client.end_run(client.start_run())", tmp_path)
    assert (done.stdout, done.stderr) == ("2", "")
    assert journals_below(tmp_path) == []


def test_a_script_ends_in_time_while_the_log_is_down_and_keeps_its_events(tmp_path: Path) -> None:
    done = _run_script("log.down = True\nclient.start_run()", tmp_path)
    assert (done.stdout, done.stderr) == ("0", "")
    assert len(_journaled(tmp_path)) == 1


def test_events_after_close_are_recorded_too(recording: Recording) -> None:
    run_id = recording.client.start_run()
    recording.client.close()
    recording.client.end_run(run_id)
    assert [each["event_type"] for each in recording.events()] == ["run.started", "run.ended"]
    assert len(set(recording.log.ids)) == 2


def test_without_a_writable_folder_events_go_to_the_log_from_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    one = Recording(tmp_path / "file" / "journal")
    with one.client.run() as run:
        run.event("custom")
    assert [each["event_type"] for each in one.events()] == ["run.started", "custom", "run.ended"]
    one.client.close()


def test_beyond_what_memory_holds_events_are_counted_and_declared(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    one = Recording(tmp_path / "file", limits=JournalLimits(memory_bytes=2000))
    one.log.down = True
    run_id = one.client.start_run(run_id="r")
    for _ in range(99):
        one.client.event(run_id, "custom")
    counts = one.client.counts
    assert counts.recorded == 100
    assert counts.waiting + counts.dropped == 100
    assert counts.dropped > 0
    one.log.down = False
    assert one.client.flush(timeout=20)
    one.client.close(timeout=20)
    declared = [json.loads(e["attributes"]) for e in one.log.events if "attributes" in e]
    assert sum(each["events"] for each in declared) == counts.dropped
    assert len(one.log.events) - len(declared) == counts.waiting


def test_a_debugging_developer_is_told_why_and_no_one_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    script = f"""
from runfold.producers import Client
Client(broker="127.0.0.1:1", journal_dir={str(tmp_path / "file")!r}).start_run()
"""
    for value, told in (("1", True), ("0", False)):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "RUNFOLD_DEBUG": value},
            check=True,
            capture_output=True,
            text=True,
        )
        assert ("the journal cannot be written" in done.stderr) is told
        assert bool(done.stderr) is told


def test_importing_the_client_pulls_in_nothing_heavy() -> None:
    script = """
import sys, runfold.producers
heavy = {"faust", "duckdb", "polars", "pyarrow", "structlog", "aiokafka", "fastavro", "pydantic",
         "typer", "rich", "httpx", "http.client", "email", "gzip", "multiprocessing"}
late = {f"runfold.producers.{name}" for name in
        ("kafka_publisher", "http_publisher", "git_context", "compat", "hooks", "importers")}
sys.stdout.write(",".join(sorted((heavy | late) & set(sys.modules))))
"""
    command = [sys.executable, "-c", script]
    # A child whose coverage is measured has what measures it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    assert done.stdout == b""
