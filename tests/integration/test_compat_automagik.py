"""A program written for the Automagik SDK, through real Kafka and a worker, into the lake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from runfold.deploy.embedded import KafkaServer
from runfold.producers.compat.automagik import hash_value
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.producers.orphans import ship_orphans
from runfold.schemas.topic import EVENTS
from tests.integration.stack_parts import PlainDuckDB, WorkerProcess, wait_until

PATIENCE = timedelta(seconds=20)
PROGRAM = """
import asyncio
from runfold.producers.compat.automagik import (
    AutomagikTelemetry, LogSeverity, MetricType, StandardEvents, TelemetryConfig,
)

telemetry = AutomagikTelemetry(TelemetryConfig(project_name="omni", version="1.0.0"))
for n in range(250):
    telemetry.track_event(StandardEvents.FEATURE_USED, {"feature_name": "list", "n": n})
try:
    raise ConnectionError("WhatsApp is away")
except ConnectionError as error:
    telemetry.track_error(error, {"error_code": "OMNI-1001"})
for n in (1, 2, 4):
    telemetry.track_metric("messages", n, MetricType.COUNTER, {"channel": "chat"})
asyncio.run(telemetry.track_log_async("mail to me@example.com", LogSeverity.WARN))
"""


async def test_all_that_a_program_tracked_is_in_the_lake_once(
    kafka_server_factory: Callable[..., KafkaServer], tmp_path: Path
) -> None:
    with kafka_server_factory() as server:
        environment = {
            **{name: value for name, value in os.environ.items() if "RUNFOLD" not in name},
            "HOME": str(tmp_path),
            "RUNFOLD_BROKER": server.bootstrap,
            "RUNFOLD_JOURNAL": str(tmp_path / "journal"),
            "AUTOMAGIK_TELEMETRY_ENABLED": "true",
        }
        for _ in range(2):
            subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
        async with KafkaPublisher(server.bootstrap, patience=PATIENCE) as publisher:
            await ship_orphans(tmp_path / "journal", publisher)  # what they left at their exit
        lake = tmp_path / "lake"
        duck = PlainDuckDB(lake)
        with WorkerProcess(server.bootstrap, EVENTS.name, lake) as worker:
            wait_until(
                lambda: any(lake.glob("*/states/*.parquet")) and duck.accounted() == 2 * 257,
                "all events are in the lake",
                workers=[worker],
            )
    runs = duck.rows(
        "select agent_name, agent_version, project, recorded_status, errors, session_id, user_id,"
        " metrics from runs"
    )
    assert len({session for *_, session, _, _ in runs}) == 2
    assert len({user for *_, user, _ in runs}) == 1
    for name, version, project, status, errors, *_ in runs:
        assert (name, version, project, status, errors) == ("omni", "1.0.0", "omni", "success", 1)
    assert duck.rows("select sum(value) from events where name = 'messages'") == [(14.0,)]
    assert duck.rows(
        "select distinct error_type, error_message from events where event_type = 'error.raised'"
    ) == [("ConnectionError", "WhatsApp is away")]
    logs = duck.rows("select name, attributes from events where event_type = 'log.written'")
    assert {(level, json.loads(text)["message"]) for level, text in logs} == {
        ("warn", f"mail to {hash_value('me@example.com')}")
    }
