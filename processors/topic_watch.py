"""Asking Kafka for the id of a topic, which aiokafka does not.

A topic that was deleted and created again has another id, and is another log. One with more
partitions than before has the same id, but its keys go elsewhere.
Source: KIP-516 (topic identifiers), Metadata request version 12.
"""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any, ClassVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from runfold.schemas.errors import BrokerUnavailable, ConfigurationError
from runfold.schemas.lake import LogDescription

_NO_ID = bytes(16)
_ANSWER_WITHIN_MS = 5_000


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):
    API_KEY: ClassVar[int] = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, {})


class TopicWatch:
    """Says which log a topic is now. Used from one event loop; connects when asked first."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._client: AIOKafkaClient | None = None

    async def look(self) -> LogDescription:
        """Return what Kafka says of the topic now.

        Raises: BrokerUnavailable (retry); ConfigurationError where there is no such topic.
        """
        try:
            client = await self._connected()
            request = _MetadataRequest(self._topic)
            response: Any = await client.send(client.get_random_node(), request)
        except (KafkaError, OSError) as error:
            await self.close()
            raise BrokerUnavailable(
                f"no answer from Kafka at {self._bootstrap}: {error}"
            ) from error
        for _, name, raw_id, _, partitions, *_ in response.topics:
            if name == self._topic and raw_id != _NO_ID:
                topic_id = base64.urlsafe_b64encode(raw_id).decode().rstrip("=")
                return LogDescription(topic_id, self._topic, len(partitions))
        raise ConfigurationError(f"Kafka at {self._bootstrap} has no topic {self._topic!r}")

    async def close(self) -> None:
        """Give up the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            client = AIOKafkaClient(
                bootstrap_servers=self._bootstrap, request_timeout_ms=_ANSWER_WITHIN_MS
            )
            try:
                await client.bootstrap()
            except BaseException:
                await client.close()
                raise
            self._client = client
        return self._client


async def describe_topic(bootstrap: str, topic: str) -> LogDescription:
    """Return what Kafka says of `topic`. Raises: as `TopicWatch.look`."""
    watch = TopicWatch(bootstrap, topic)
    try:
        return await watch.look()
    finally:
        await watch.close()
