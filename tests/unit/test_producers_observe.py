"""`observe`: functions of all kinds as runs, tools and spans, unchanged for who calls them."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from runfold.producers import default_client, observe
from runfold.producers.context import current_place, current_run
from tests.recording import Recording


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "journal")
    yield one
    one.client.close()


def _kinds(recording: Recording) -> list[tuple[str, str | None]]:
    return [(each["event_type"], each.get("status")) for each in recording.events()]


def _ended(recording: Recording) -> dict[str, Any]:
    (ended,) = [each for each in recording.events() if each["event_type"].endswith(".ended")]
    return ended


def test_a_function_outside_of_a_run_is_a_run_and_inside_one_a_tool(recording: Recording) -> None:
    @recording.client.observe
    def inner(x: int) -> int:
        return x + 1

    @recording.client.observe
    def outer(x: int) -> int:
        return inner(x) * 2

    assert outer(1) == 4
    assert _kinds(recording) == [
        ("run.started", None), ("tool.started", None), ("tool.ended", "success"),
        ("run.ended", "success"),
    ]  # fmt: skip
    first, second, *_ = recording.events()
    assert (first["agent_name"], second["tool_name"]) == ("outer", "inner")
    assert second["run_id"] == first["run_id"]


def test_kind_name_and_fields_may_be_chosen(recording: Recording) -> None:
    @recording.client.observe(kind="span", name="step", project="p")
    def work() -> None:
        pass

    @recording.client.observe(kind="run", name="sub-agent")
    def agent() -> None:
        work()

    with recording.client.run() as run:
        agent()
    events = recording.events()
    assert [each["event_type"] for each in events][1:4] == [
        "run.started",
        "span.ended",
        "run.ended",
    ]
    assert (events[1]["parent_run_id"], events[1]["agent_name"]) == (run.run_id, "sub-agent")
    assert (events[2]["name"], events[2]["project"]) == ("step", "p")


def test_a_decorated_function_looks_as_before(recording: Recording) -> None:
    def plain(x: int, *, y: str = "a") -> str:
        """Say it."""
        return y * x

    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def agenerator() -> AsyncIterator[int]:
        yield 1

    observed = recording.client.observe
    assert inspect.signature(observed(plain)) == inspect.signature(plain)
    assert (observed(plain).__name__, observed(plain).__doc__) == ("plain", "Say it.")
    assert inspect.iscoroutinefunction(observed(coroutine))
    assert inspect.isgeneratorfunction(observed(generator))
    assert inspect.isasyncgenfunction(observed(agenerator))


def test_methods_and_partials_can_be_decorated(recording: Recording) -> None:
    class Agent:
        @recording.client.observe(kind="run")
        def work(self, x: int) -> int:
            return x

        @staticmethod
        @recording.client.observe
        def helper(x: int) -> int:
            return x

    bound = recording.client.observe(functools.partial(Agent().work, 3))
    assert (Agent().work(1), Agent.helper(2), bound()) == (1, 2, 3)
    names = [e["agent_name"] for e in recording.events() if e["event_type"] == "run.started"]
    assert names == ["Agent.work", "Agent.helper", "partial", "Agent.work"]


async def test_a_coroutine_ends_when_it_returns(recording: Recording) -> None:
    @recording.client.observe
    async def work() -> str | None:
        await asyncio.sleep(0)
        return current_run.get()

    assert await work() == recording.events()[0]["run_id"]
    assert _ended(recording)["status"] == "success"


async def test_a_cancelled_coroutine_is_cancelled(recording: Recording) -> None:
    @recording.client.observe
    async def work() -> None:
        await asyncio.sleep(100)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _ended(recording)["status"] == "cancelled"


@pytest.mark.parametrize("how", ["exhausted", "closed", "forgotten", "raises", "thrown into"])
def test_a_generator_ends_when_nothing_more_can_come(recording: Recording, how: str) -> None:
    @recording.client.observe
    def work() -> Generator[int, str, str]:
        got = yield 1
        if how == "raises":
            raise ValueError("bad")
        yield len(got or "")
        return "returned"

    generator = work()
    assert recording.client.counts.recorded == 0
    assert next(generator) == 1
    assert _kinds(recording) == [("run.started", None)]
    status = {"closed": "cancelled", "forgotten": "cancelled"}.get(how, "failure")
    if how == "exhausted":
        assert generator.send("four") == 4
        with pytest.raises(StopIteration, match="returned"):
            next(generator)
        status = "success"
    elif how == "closed":
        generator.close()
    elif how == "forgotten":
        del generator
        gc.collect()
    else:
        with pytest.raises(ValueError, match="bad"):
            next(generator) if how == "raises" else generator.throw(ValueError("bad"))
    assert _ended(recording)["status"] == status


@pytest.mark.parametrize("how", ["exhausted", "closed", "raises", "thrown into"])
async def test_an_asynchronous_generator_ends_alike(recording: Recording, how: str) -> None:
    @recording.client.observe
    async def work() -> AsyncIterator[int]:
        yield 1
        if how == "raises":
            raise ValueError("bad")
        await asyncio.sleep(0)
        yield 2

    generator: Any = work()
    assert await anext(generator) == 1
    status = "failure"
    if how == "exhausted":
        assert [each async for each in generator] == [2]
        status = "success"
    elif how == "closed":
        await generator.aclose()
        status = "cancelled"
    else:
        failing = generator.athrow(ValueError("bad")) if how == "thrown into" else anext(generator)
        with pytest.raises(ValueError, match="bad"):
            await failing
    assert _ended(recording)["status"] == status


def test_a_generator_is_the_current_run_only_while_its_own_code_runs(recording: Recording) -> None:
    seen: list[str | None] = []

    @recording.client.observe
    def work() -> Iterator[None]:
        seen.append(current_run.get())
        with recording.client.tool("t") as tool:
            yield
            place = current_place.get()
            assert place is not None
            assert place.span_id == tool.span_id
            yield
        seen.append(current_run.get())

    first, second = work(), work()
    next(first)
    assert (current_run.get(), current_place.get()) == (None, None)
    with recording.client.run() as around:
        next(second)
        next(first)
        assert current_run.get() == around.run_id
        assert list(second) == [None]
    assert list(first) == []
    assert current_run.get() is None
    run = recording.events()[0]["run_id"]
    assert seen == [run, around.run_id, around.run_id, run]


async def test_an_asynchronous_generator_leaves_its_consumer_in_its_own_run(
    recording: Recording,
) -> None:
    @recording.client.observe(kind="run")
    async def work() -> AsyncIterator[str | None]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield current_run.get()

    async with recording.client.run() as around, aclosing(work()) as items:  # type: ignore[type-var]
        inside = set()
        async for each in items:
            inside.add(each)
            assert current_run.get() == around.run_id
    assert len(inside) == 1
    assert around.run_id not in inside


async def test_decorated_generators_still_make_context_managers(recording: Recording) -> None:
    @contextmanager
    @recording.client.observe
    def manager() -> Iterator[int]:
        yield 1

    @asynccontextmanager
    @recording.client.observe
    async def amanager() -> AsyncIterator[int]:
        yield 2

    with manager() as one:
        async with amanager() as two:
            assert (one, two) == (1, 2)
    assert [status for kind, status in _kinds(recording) if kind == "run.ended"] == ["success"] * 2


def test_a_generator_that_outlives_the_interpreters_exit_does_not_hold_it_up(
    tmp_path: Path,
) -> None:
    script = f"""
from runfold.producers import Client
client = Client(journal_dir={str(tmp_path)!r}, endpoint="http://127.0.0.1:1")

@client.observe
def work():
    yield 1
    yield 2

alive = work()
next(alive)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    written = b"".join(each.read_bytes() for each in tmp_path.glob("rf*/*.ndjson"))
    assert b"run.ended" in written


def test_an_exception_passes_unchanged(recording: Recording) -> None:
    error = ValueError("bad")

    @recording.client.observe
    def work() -> None:
        raise error

    with pytest.raises(ValueError, match="bad") as caught:
        work()
    assert caught.value is error
    ended = _ended(recording)
    assert (ended["status"], ended["error_message"]) == ("failure", "bad")


def test_the_module_has_a_client_of_its_own(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    @observe
    def work() -> int:
        return 1

    monkeypatch.setattr("runfold.producers.process_client.Client", lambda: recording.client)
    default_client.cache_clear()
    assert work() == 1
    assert len(recording.events()) == 2
    default_client.cache_clear()
