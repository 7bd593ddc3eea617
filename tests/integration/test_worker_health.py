"""A worker says over HTTP whether it gets on, and why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runfold.deploy.embedded import KafkaServer
from runfold.deploy.embedded.ports import LOOPBACK, choose_port
from runfold.producers.demo import generate_fleet
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    publish,
    wait_until,
)

RECORDS = list(generate_fleet(7, datetime(2026, 11, 21, 7, tzinfo=UTC), 20))


class Health:
    """What a worker answers at its address."""

    def __init__(self) -> None:
        self.address = f"{LOOPBACK}:{choose_port()}"

    def get(self, path: str) -> tuple[int, str]:
        with closing(HTTPConnection(self.address, timeout=10)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except ConnectionRefusedError:  # not listening yet
            return False

    def reasons(self) -> dict[str, str]:
        said = json.loads(self.get("/readyz")[1])
        return {each["reason"]: each["message"] for each in said["reasons"]}

    def partitions(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.get("/readyz")[1])["partitions"]
        return said

    def metrics(self) -> dict[str, float]:
        """Return the sum of each metric over its labels."""
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                name = sample.name.removeprefix("runfold_worker_")
                sums[name] = sums.get(name, 0) + sample.value
        return sums


async def test_a_worker_whose_lake_is_gone_is_not_ready_until_it_is_back(
    kafka: KafkaServer, topic_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNFOLD_STALL_WINDOW_SECONDS", "2")
    await make_topics(kafka.bootstrap, topic_name)
    published = await publish(kafka.bootstrap, topic_name, RECORDS[::2])
    health, root, away = Health(), tmp_path / "lake", tmp_path / "away"
    lake = PlainDuckDB(root)
    options = ("--listen", health.address)
    with WorkerProcess(kafka.bootstrap, topic_name, root, *options) as worker:
        wait_until(lambda: lake.accounted() == published, "all folded", workers=[worker])
        wait_until(health.ready, "ready", workers=[worker])
        root.rename(away)
        root.write_text("no lake")
        published += await publish(kafka.bootstrap, topic_name, RECORDS[1::2])
        wait_until(lambda: not health.ready(), "not ready", workers=[worker])
        assert health.get("/healthz")[0] == 200
        assert health.reasons().keys() == {"stalled"}
        stalled = [at for at in health.partitions().values() if at["stalled_seconds"] is not None]
        assert stalled
        assert all(at["lag_records"] > 0 for at in stalled)
        assert {at["held_up_by"]["code"] for at in stalled} == {"lake_unavailable"}
        assert "Not a directory" in health.reasons()["stalled"]
        metrics = health.metrics()
        assert metrics["ready"] == 0
        assert metrics["retries_total"] > 0
        assert metrics["lag_records"] == metrics["log_end_offset"] - metrics["durable_offset"] > 0

        root.unlink()
        away.rename(root)
        wait_until(health.ready, "ready again", workers=[worker])
        wait_until(lambda: lake.accounted() == published, "all folded", workers=[worker])
        metrics = health.metrics()
        assert metrics["records_total"] == published
        assert metrics["records_total"] == sum(
            metrics[f"{each}_total"] for each in ("events", "duplicates", "dead_letters")
        )
        assert metrics["dead_letters_total"] > 0
        assert metrics["flush_seconds_count"] > 0
        assert metrics["rebalances_total"] > 0
        assert worker.stop() == 0
        assert '"event": "stalled"' in worker.said()
        assert '"event": "goes on after a stall"' in worker.said()


async def test_workers_whose_broker_does_not_answer_are_not_ready_until_it_does(
    kafka_server_factory: Callable[..., KafkaServer], topic_name: str, tmp_path: Path
) -> None:
    both = [Health(), Health()]
    server = kafka_server_factory()
    server.start()
    server.wait_ready()
    await make_topics(server.bootstrap, topic_name, partitions=1)
    with ExitStack() as running:
        workers = [
            running.enter_context(
                WorkerProcess(
                    server.bootstrap, topic_name, tmp_path / "lake", "--listen", each.address
                )
            )
            for each in both
        ]
        wait_until(lambda: all(each.ready() for each in both), "both ready", workers=workers)
        wait_until(
            lambda: sorted(len(each.partitions()) for each in both) == [0, 1],
            "one has the partition, and one that is ready all the same has none",
            workers=workers,
        )
        server.pause()
        for each in both:
            wait_until(lambda: not each.ready(), "not ready", workers=workers)  # noqa: B023
            assert each.reasons().keys() == {"broker_unreachable"}
        server.resume()
        wait_until(lambda: all(each.ready() for each in both), "ready again", workers=workers)
        for worker in workers:
            assert "Kafka does not answer" in worker.said()
            assert "Kafka answers again" in worker.said()


async def test_a_worker_without_a_broker_says_what_it_waits_for(
    topic_name: str, tmp_path: Path
) -> None:
    health = Health()
    nobody = f"{LOOPBACK}:{choose_port()}"
    options = ("--listen", health.address)
    with WorkerProcess(nobody, topic_name, tmp_path / "lake", *options) as worker:
        wait_until(lambda: "waiting for Kafka" in worker.said(), "it waits", workers=[worker])
        wait_until(lambda: "broker_unavailable" in health.reasons().get("starting", ""), "why")
        assert health.get("/healthz")[0] == 200
