"""One OTLP request from its bytes to Kafka, whether it came by HTTP or by gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runfold.producers.collector.access import Caller
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.letters import SetAside
from runfold.producers.collector.otlp.encoding import Encoded, encoded
from runfold.producers.collector.otlp.items import Refused
from runfold.producers.collector.otlp.translation import Request

API = "otlp"
_NAMED = 5
"""So many items are named in an answer."""
_LARGE_BYTES = 16 * 1024
"""Some fifty spans, a few milliseconds of work."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: so many of its items were `rejected`, as the message says."""

    rejected: int = 0
    message: str = ""


async def take(
    collector: Collector, caller: Caller, request: Request, *, api: str = API
) -> Outcome:
    """Put a request into the log: its events, and what can be none among the dead letters.

    Shape: `api` names the family of clients for the counts and the letters.
    Raises: ValueError for what is no such request; BrokerUnavailable (retry): all is sent again.
    """
    made = await _encoded(collector, caller, request)
    await collector.put(api, made.records)
    refused = made.refused
    if not refused:
        return Outcome()
    source = f"{api}/{request.signal}"
    await collector.set_aside(
        [SetAside(source, each.where, each.reason, each.message, each.content) for each in refused]
    )
    collector.counts.events(api, accepted=0, rejected=len(refused))
    return Outcome(len(refused), _told(refused))


async def _encoded(collector: Collector, caller: Caller, request: Request) -> Encoded:
    """Return what a request becomes; a large one is read by another process: others get on."""
    content = collector.settings.content
    if len(request.body) < _LARGE_BYTES:
        return encoded(request, caller, content=content)
    return await collector.others.run(encoded, request, caller, content=content)


def _told(refused: Sequence[Refused]) -> str:
    named = "; ".join(f"{each.where}: {each.message}" for each in refused[:_NAMED])
    more = len(refused) - _NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return f"{named}{rest}. Kept as dead letters, see `runfold dlq ls`"
