"""Events framed with the ids of a schema registry go through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

from runfold.deploy.embedded import KafkaServer
from runfold.producers.kafka_publisher import KafkaPublisher
from tests.integration.stack_parts import (
    PlainDuckDB,
    WorkerProcess,
    make_topics,
    wait_until,
)
from tests.unit.test_confluent import FIELDS, Registry, registry

__all__ = ["registry"]


async def test_a_worker_reads_what_a_publisher_frames_with_a_registry_id(
    kafka: KafkaServer,
    topic_name: str,
    tmp_path: Path,
    registry: Registry,
) -> None:
    await make_topics(kafka.bootstrap, topic_name, partitions=1)
    async with KafkaPublisher(
        kafka.bootstrap, topic=topic_name, schema_registry=registry.url
    ) as publisher:
        for sequence in range(5):
            await publisher.publish({**FIELDS, "event_id": f"id-{sequence}"})
    lake = PlainDuckDB(tmp_path / "lake")
    with WorkerProcess(
        kafka.bootstrap, topic_name, tmp_path / "lake", "--schema-registry", registry.url
    ) as worker:
        wait_until(lambda: lake.accounted() == 5, "all folded", workers=[worker])
    assert lake.rows("select run_id, events from runs") == [("r", 5)]
    assert lake.rows("select count(*) from dead_letters") == [(0,)]
