"""Whether the collector needs keys, and the keys that let clients in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from runfold.deploy.agent_framework import AgentFrameworkEnvironment
from runfold.deploy.settings import Settings
from runfold.producers.collector.access import Access, OpenAccess
from runfold.producers.collector.key_ring import KeyRing
from runfold.producers.collector.server import Address
from runfold.producers.key_log import KeyLog
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError


@asynccontextmanager
async def access_for(settings: Settings, addresses: Sequence[Address]) -> AsyncIterator[Access]:
    """Give what lets clients in, for the time of a `with` block.

    Shape: keys are needed where they are asked for, and where other machines reach one of the
    addresses. The Agent Framework's key of the environment is one, for its own API. While Kafka
    does not answer, nobody comes in who needs one of the others.
    Raises: ConfigurationError where other machines reach it and nobody has a key.
    """
    exposed = [each for each in addresses if not each.is_loopback]
    if not exposed and not settings.collector_require_keys:
        yield OpenAccess()
        return
    ring, log = KeyRing(), KeyLog(settings.bootstrap)
    if exposed and AgentFrameworkEnvironment().agent_framework_api_key is None:
        await _refuse_without_keys(log, exposed)

    def complete() -> None:
        ring.is_complete = True

    async with log.following(ring.put, complete):
        yield ring


async def _refuse_without_keys(log: KeyLog, exposed: Sequence[Address]) -> None:
    ring = KeyRing()
    try:
        for key_id, key in (await log.read()).items():
            ring.put(key_id, key)
    except BrokerUnavailable as error:
        structlog.get_logger(__name__).warning("nobody comes in before Kafka", error=str(error))
        return
    if not ring.has_valid_key():
        raise ConfigurationError(
            f"other machines reach {', '.join(map(str, exposed))}, and there is no key: create one "
            "with `runfold keys create`, or listen at 127.0.0.1"
        )
