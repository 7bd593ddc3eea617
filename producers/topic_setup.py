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

    The controller is asked, not the list of topics: a broker lists a deleted topic for a while.

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
            return await _create(admin, wanted)
        finally:
            await admin._client.close()  # `close` leaves a client open that did not start


async def _create(admin: AIOKafkaAdminClient, wanted: list[Topic]) -> list[str]:
    response = await admin.create_topics([_new_topic(each) for each in wanted])
    created = []
    refused = []
    for name, code, message in response.topic_errors:
        if code == 0:
            created.append(name)
        elif code != _TOPIC_ALREADY_EXISTS:
            refused.append((name, message or f"error {code}"))
    # Who may write a topic may not be allowed to create it: it is there, so nothing is wrong.
    existing = set(await admin.list_topics()) if refused else set()
    for name, why in refused:
        if name not in existing:
            raise BrokerUnavailable(f"topic {name} cannot be created: {why}")
    return created


def _new_topic(topic: Topic) -> NewTopic:
    from aiokafka.admin import NewTopic

    new = NewTopic(topic.name, topic.partitions, 1, topic_configs=topic.config)
    new.replication_factor = _BROKER_DEFAULT  # which the constructor refuses
    return new
