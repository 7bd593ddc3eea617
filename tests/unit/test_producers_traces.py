"""Traces: how runs find each other across tasks and processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.producers.context import Place
from runfold.producers.trace_context import (
    environment_of,
    origin_of_process,
    span_id_of,
    trace_id_of,
)
from tests.recording import Recording

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "journal")
    yield one
    one.client.close()


def test_runs_inside_a_run_are_of_its_trace(recording: Recording) -> None:
    with recording.client.run() as outer, recording.client.run():
        recording.client.start_run()
        outer.run().__enter__().__exit__(None, None, None)
    alone = recording.client.start_run()
    first, *inner, last = recording.events("run.started")
    assert [each["trace_id"] for each in inner] == [trace_id_of(outer.run_id)] * 3
    assert inner[0]["parent_span_id"] == span_id_of(outer.run_id)
    assert (last["run_id"], "trace_id" in last, "trace_id" in first) == (alone, False, False)


def test_a_child_process_joins_the_run_that_started_it(
    recording: Recording, tmp_path: Path
) -> None:
    script = f"""
import json, sys
from tests.recording import Recording
from pathlib import Path
one = Recording(Path({str(tmp_path / "child")!r}))
with one.client.run(): pass
json.dump(one.events()[0], sys.stdout)
one.client.close()
"""
    with recording.client.run() as run, run.tool("shell") as tool:
        assert recording.client.environment() == run.environment()
        environment = {**os.environ, **run.environment()}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True
    )
    child = json.loads(done.stdout)
    assert child["parent_run_id"] == run.run_id
    assert child["trace_id"] == run.trace_id
    assert child["parent_span_id"] == tool.span_id


def test_outside_of_a_tool_the_run_itself_is_the_parents_span(recording: Recording) -> None:
    with recording.client.run() as run:
        environment = run.environment()
    assert environment == {
        "RUNFOLD_PARENT_RUN": run.run_id,
        "TRACEPARENT": f"00-{run.trace_id}-{span_id_of(run.run_id)}-01",
    }


def test_a_foreign_tracer_may_have_started_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNFOLD_PARENT_RUN", raising=False)
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{SPAN}-01")
    one = Recording(tmp_path)
    with one.client.run() as run:
        one.client.start_run()
    first, second, _ = one.events()
    assert (first["trace_id"], first["parent_span_id"]) == (TRACE, SPAN)
    own = span_id_of(run.run_id)
    assert (second["trace_id"], second["parent_span_id"]) == (TRACE, own)
    assert run.environment()["TRACEPARENT"] == f"00-{TRACE}-{own}-01"
    one.client.close()


@pytest.mark.parametrize(
    "text",
    [
        "", "x", f"00-{TRACE}-{SPAN}", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n00", "\udcff" * 55,
    ],
)  # fmt: skip
def test_a_malformed_traceparent_is_as_good_as_none(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNFOLD_DEBUG", "1")
    monkeypatch.setenv("TRACEPARENT", text)
    assert origin_of_process().trace_id is None
    assert ("TRACEPARENT is malformed" in capsys.readouterr().err) is bool(text)


def test_a_version_to_come_may_say_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", f"01-{TRACE}-{SPAN}-00-what-ever")
    assert origin_of_process()[1:] == (TRACE, SPAN)


def test_a_parent_run_that_is_no_id_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNFOLD_PARENT_RUN", "x" * 1000)
    assert origin_of_process().run_id is None


@given(run_id=st.text(min_size=1), trace_id=st.text())
def test_whatever_a_run_is_called_its_environment_can_be_used(run_id: str, trace_id: str) -> None:
    found = environment_of(Place(run_id, trace_id))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", found["TRACEPARENT"])
    for name, value in found.items():
        assert "\0" not in os.fsencode(name + value).decode(errors="replace")
