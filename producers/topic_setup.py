"""Creating the topics that `schemas/topics` describes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from runfold.producers.kafka_errors import broker_errors
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.topic import Topic, all_topics

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

_TOPIC_ALREADY_EXISTS = 36
_BROKER_DEFAULT = -1


async def ensure_topics(
    bootstrap: str,
    topics: Iterable[Topic] | None = None,
    *,
    patience: timedelta = timedelta(seconds=30),
) -> list[str]:
    """Create those of `topics` that are missing, default all, and return their names.

    Delivery: idempotent, also when several do it at once; a topic that exists is left as it is.
    Raises: BrokerUnavailable (retry), also where the broker refuses to create a topic.
    """
    from aiokafka.admin import AIOKafkaAdminClient

    wanted = all_topics() if topics is None else list(topics)
    with broker_errors(bootstrap):
        admin = AIOKafkaAdminClient(
            bootstrap_servers=bootstrap, request_timeout_ms=round(patience.total_seconds() * 1000)
        )
        try:
            await admin.start()
            existing = set(await admin.list_topics())
            missing = [each for each in wanted if each.name not in existing]
            return await _create(admin, missing) if missing else []
        finally:
            await admin._client.close()  # `close` leaves a client open that did not start


async def _create(admin: AIOKafkaAdminClient, missing: list[Topic]) -> list[str]:
    response = await admin.create_topics([_new_topic(each) for each in missing])
    created = []
    for name, code, message in response.topic_errors:
        if code not in (0, _TOPIC_ALREADY_EXISTS):
            raise BrokerUnavailable(f"topic {name} cannot be created: {message or f'error {code}'}")
        if code == 0:
            created.append(name)
    return created


def _new_topic(topic: Topic) -> NewTopic:
    from aiokafka.admin import NewTopic

    new = NewTopic(topic.name, topic.partitions, 1, topic_configs=topic.config)
    new.replication_factor = _BROKER_DEFAULT  # which the constructor refuses
    return new
