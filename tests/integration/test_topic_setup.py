"""Topics are created where the controller has none, whatever a broker still lists."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from runfold.deploy.embedded import KafkaServer
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.topic import EVENTS


async def test_a_deleted_topic_that_a_broker_still_lists_is_created(
    kafka: KafkaServer, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def still_listed(_: AIOKafkaAdminClient) -> list[str]:
        return [topic_name]

    monkeypatch.setattr(AIOKafkaAdminClient, "list_topics", still_listed)
    topics = [replace(EVENTS, name=topic_name, partitions=1)]
    assert await ensure_topics(kafka.bootstrap, topics) == [topic_name]
    assert await ensure_topics(kafka.bootstrap, topics) == []


async def test_a_topic_that_cannot_be_created_is_named(kafka: KafkaServer) -> None:
    impossible = replace(EVENTS, name="no spaces allowed", partitions=1)
    with pytest.raises(BrokerUnavailable, match="topic no spaces allowed cannot be created"):
        await ensure_topics(kafka.bootstrap, [impossible])
