"""The runs API where keys are needed: what a key of a project or of a host sees and changes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from typer.testing import CliRunner

from runfold.deploy.cli.app import app
from runfold.deploy.embedded import KafkaServer
from tests.collector_process import CollectorProcess
from tests.integration.stack_parts import wait_until
from tests.runs_api import RUNS, Api, minimal, unique

COMMIT = {"commit_hash": "1234567", "commit_source": "ci"}
KEYS = {
    "ours": ("--project", "ours", "--scope", "ingest", "--scope", "read"),
    "theirs": ("--project", "theirs", "--scope", "ingest", "--scope", "read"),
    "box": ("--host", "box"),
}


@pytest.fixture(scope="module")
def apis(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Api]]:
    folder = tmp_path_factory.mktemp("keyed")
    with ExitStack() as closing:
        served = closing.enter_context(
            CollectorProcess(kafka.bootstrap, unique("runs"), folder, "--require-keys")
        )
        found = {}
        for name, options in KEYS.items():
            words = ["keys", "create", *options, "--broker", kafka.bootstrap, "-f", "json"]
            [made] = json.loads(CliRunner().invoke(app, words).stdout)
            api = Api(served.url, Authorization=f"Bearer {made['key']}")
            found[name] = closing.enter_context(api)
        for each in found.values():
            wait_until(lambda each=each: each.patch("x", {}).status_code == 404, "keys are known")  # type: ignore[misc]
        yield found


def sent(api: Api, **event: Any) -> None:
    """Send an event as runfold's own client does."""
    event = {"event_id": unique("event"), "occurred_at": time.time_ns() // 1000, **event}
    answer = api.http.post("/api/v1/events", content=json.dumps(event))
    assert answer.json() == {"accepted": 1, "rejected": []}


def test_a_project_sees_and_changes_its_own_runs_alone(apis: dict[str, Api]) -> None:
    ours, theirs = apis["ours"], apis["theirs"]
    record = ours.create(input_summary="secret", git_repo="https://github.com/o/r")
    one = f"{RUNS}/{record['event_id']}"
    for answer in (
        theirs.http.get(one),
        theirs.http.get(f"{one}/repo-url"),
        theirs.patch(record["event_id"], {"status": "failure"}),
        theirs.http.post(f"{one}/associate-commit", json=COMMIT),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            f"Run not found: {record['event_id']}",
        )
    assert theirs.ids() == []
    assert theirs.total() == 0
    assert theirs.http.get("/api/v1/metadata").json()["agent_names"] == []
    assert record["event_id"] in ours.ids()


def test_nobody_moves_the_run_of_another_project_into_the_own(apis: dict[str, Api]) -> None:
    ours, theirs = apis["ours"], apis["theirs"]
    record = ours.create()
    for kind in ("run.updated", "run.started", "run.ended", "commit.associated", "llm.called"):
        sent(theirs, run_id=record["run_id"], event_type=kind, status="success")
    wait_until(lambda: ours.row(record["event_id"])["status"] == "success", "it is told")
    assert theirs.http.get(f"{RUNS}/{record['event_id']}").status_code == 404


def test_a_key_of_a_host_writes_runs_of_that_host_alone(apis: dict[str, Api]) -> None:
    box, other = apis["box"], minimal(host="other")
    answer = box.post(other)
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("host 'other': key ")
    told = box.post([other, minimal()], "/batch").json()
    assert (told["inserted"], len(told["errors"])) == (1, 1)
    elsewhere, here = apis["ours"].create(host="other"), box.create()
    assert box.patch(elsewhere["event_id"], {"status": "failure"}).status_code == 403
    assert box.patch(here["event_id"], {"status": "failure"}).status_code == 200
