"""The runs API with several collectors, after kill -9, and without its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runfold.deploy.embedded import KafkaServer
from runfold.processors.fold import fold
from runfold.schemas.event import LoggedEvent
from runfold.schemas.run_state import RunState
from tests.collector_process import CollectorProcess
from tests.runs_api import CLIENT_END, RUNS, Api, client_start, minimal, unique

Served = tuple[CollectorProcess, Api]


@contextmanager
def serving(kafka: KafkaServer, topic: str, folder: Path) -> Iterator[Served]:
    with CollectorProcess(kafka.bootstrap, topic, folder) as collector, Api(collector.url) as api:
        yield collector, api


@pytest.fixture(scope="module")
def pair(
    kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Served]]:
    topic, folder = unique("runs"), tmp_path_factory.mktemp("pair")
    with serving(kafka, topic, folder / "a") as one, serving(kafka, topic, folder / "b") as other:
        yield one, other


def at_once(apis: list[Api], records: list[dict[str, Any]]) -> list[str]:
    """Post each record, to one collector after the other, all at once; return what was told."""
    with ThreadPoolExecutor(len(records)) as threads:
        sent = zip((apis[n % len(apis)] for n in range(len(records))), records, strict=True)
        return [each.json()["status"] for each in threads.map(lambda it: it[0].post(it[1]), sent)]


def test_one_of_two_collectors_creates_a_run_and_both_show_it(pair: tuple[Served, Served]) -> None:
    apis = [api for _, api in pair]
    record = minimal()
    told = at_once(apis, [{**record, "host": f"host-{n}"} for n in range(50)])
    assert Counter(told) == {"created": 1, "duplicate": 49}
    assert apis[0].row(record["event_id"]) == apis[1].row(record["event_id"])


async def test_runs_that_share_a_run_id_stay_apart_over_two_collectors(
    pair: tuple[Served, Served],
) -> None:
    apis = [api for _, api in pair]
    run_id = unique("nightly")
    records = [minimal(run_id=run_id, agent_name=unique("agent")) for _ in range(20)]
    assert at_once(apis, records) == ["created"] * 20
    for record in records:
        for api in apis:
            row = api.row(record["event_id"])
            assert (row["run_id"], row["agent_name"]) == (run_id, record["agent_name"])
    states: dict[str, RunState] = {}
    for offset, event in enumerate(await pair[0][0].events()):
        states[event.run_id] = fold(states.get(event.run_id), LoggedEvent(event, offset, 0))
    found = {state.attributes["event_id"]: state.agent_name for state in states.values()}
    expected = {each["event_id"]: each["agent_name"] for each in records}
    assert {event_id: found[event_id] for event_id in expected} == expected


def test_what_one_collector_has_written_the_other_changes_at_once(
    pair: tuple[Served, Served],
) -> None:
    (_, one), (_, other) = pair
    for _ in range(10):
        record = one.create()
        assert other.row(record["event_id"])["run_id"] == record["run_id"]
        record = other.create()
        assert one.patch(record["event_id"], {"status": "failed"}).status_code == 200
        assert one.row(record["event_id"])["status"] == "failure"


def test_changes_at_once_end_the_same_on_both(pair: tuple[Served, Served]) -> None:
    apis = [api for _, api in pair]
    event_id = apis[0].create()["event_id"]
    changes = [
        {"status": "success" if n % 2 else "failure", "output_summary": f"by {n}"}
        for n in range(10)
    ]
    with ThreadPoolExecutor(10) as threads:
        answers = list(
            threads.map(lambda n: apis[n % 2].patch(event_id, changes[n]), range(len(changes)))
        )
    assert {each.status_code for each in answers} == {200}
    last = {"duration_ms": 7}
    assert apis[0].patch(event_id, last).status_code == 200
    assert apis[1].patch(event_id, {"items_failed": 1}).status_code == 200
    rows = [apis[0].row(event_id), apis[1].row(event_id)]
    assert rows[1]["duration_ms"] == 7
    said = {name: rows[1][name] for name in ("status", "output_summary")}
    assert said in changes
    assert {name: rows[0][name] for name in said} == said


def test_15_a_run_survives_kill_9_and_the_loss_of_the_file(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    start = client_start()
    with serving(kafka, topic_name, tmp_path) as (collector, api):
        assert api.post(start).status_code == 201
        collector.process.kill()
    (tmp_path / "collector.json").unlink()
    with serving(kafka, topic_name, tmp_path) as (_, api):
        assert {**api.row(start["event_id"]), "host": "box"} == api.row(start["event_id"])
        api.patch(start["event_id"], CLIENT_END)
        same_name = api.create(run_id=start["run_id"])
        api.post([minimal() for _ in range(30)], "/batch")
        commit = {"commit_hash": "1234567", "commit_source": "ci"}
        api.post(commit, f"/{same_name['event_id']}/associate-commit")
        before = api.http.get(RUNS).json()
        totals = api.http.get("/metrics").json()
    (tmp_path / "collector.json").unlink()
    for file in (tmp_path / "collector").iterdir():
        file.unlink()
    (tmp_path / "collector" / "runs.sqlite").write_bytes(b"this is no database" * 100)
    with serving(kafka, topic_name, tmp_path) as (_, api):
        assert api.http.get(RUNS).json() == before
        assert api.http.get("/metrics").json() == totals
        assert len(before) == 32
