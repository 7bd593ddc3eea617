"""An agent killed in the middle of a tool is seen, and comes back when something is heard of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from runfold.deploy.embedded import KafkaServer
from runfold.schemas.silence import SilenceRule
from runfold.sinks.views import views_sql
from tests.integration.stack_parts import WorkerProcess, make_topics, wait_until

RULE = SilenceRule(with_heartbeats=timedelta(seconds=2))

_AGENT = """
import signal, sys
from runfold.producers import Client
from runfold.producers.kafka_publisher import KafkaPublisher
journal, bootstrap, topic = sys.argv[1:]
client = Client(
    agent="coder", journal_dir=journal, heartbeat_seconds=0.2,
    publisher=lambda: KafkaPublisher(bootstrap, topic=topic),
)
with client.run(run_id="parent") as run, run.run("helper", run_id="child") as child:
    child.event("llm.called", input_tokens=10, cost_usd=0.25)
    run.event("tool.started", tool_name="fetch")
    signal.pause()
"""
_LATECOMER = """
import sys, time
from runfold.producers import Client
from runfold.producers.kafka_publisher import KafkaPublisher
journal, bootstrap, topic = sys.argv[1:]
client = Client(journal_dir=journal, publisher=lambda: KafkaPublisher(bootstrap, topic=topic))
while True:
    client.heartbeat("parent")
    time.sleep(0.1)
"""


def parent_run(lake: Path) -> dict[str, Any]:
    if not (lake / "views.sql").exists():
        return {"status": None, "heartbeats": 0}
    with duckdb.connect() as connection:
        connection.execute(views_sql(lake, RULE))
        found = connection.execute("from runs where run_id = 'parent'")
        names = [each[0] for each in found.description]
        row = found.fetchone()
    return dict(zip(names, row, strict=True)) if row else {"status": None, "heartbeats": 0}


async def test_a_killed_agent_is_orphaned_in_its_tool_and_a_late_event_brings_its_run_back(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    await make_topics(kafka.bootstrap, topic_name)
    lake = tmp_path / "lake"
    words = [str(tmp_path / "journal"), kafka.bootstrap, topic_name]
    with WorkerProcess(kafka.bootstrap, topic_name, lake) as worker:
        with subprocess.Popen([sys.executable, "-c", _AGENT, *words]) as agent:
            wait_until(
                lambda: parent_run(lake)["heartbeats"] > 3, "it is heard of", workers=[worker]
            )
            agent.send_signal(signal.SIGKILL)
        wait_until(
            lambda: parent_run(lake)["status"] == "orphaned", "it is missed", workers=[worker]
        )
        left = parent_run(lake)
        assert (left["recorded_status"], left["last_tool"], left["last_tool_open"]) == (
            "running", "fetch", True,
        )  # fmt: skip
        assert (left["open_children"], left["tree_cost_usd"]) == (1, 0.25)
        assert left["silent_ms"] > 2000
        with subprocess.Popen([sys.executable, "-c", _LATECOMER, *words]) as latecomer:
            wait_until(
                lambda: parent_run(lake)["status"] == "running", "it is back", workers=[worker]
            )
            latecomer.kill()
