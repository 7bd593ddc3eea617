"""What every API of the collector works with: the log, who calls, limits, counts."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import Request

from runfold.producers.collector.access import Access, Caller, OpenAccess, Scope
from runfold.producers.collector.bodies import BodyLimits, BodyRoom, read_body
from runfold.producers.collector.counts import Counts
from runfold.producers.collector.letters import SetAside, letter_of
from runfold.producers.collector.log_writer import LogWriter, Placed
from runfold.producers.collector.other_processes import OtherProcesses
from runfold.producers.collector.records import Record, record_of
from runfold.producers.publisher import EventFields
from runfold.schemas.errors import EventRejected


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """How the collector answers.

    Shape: with `content`, prompts, answers and what tools are given and return are recorded.
    Units: `patience` is how long Kafka may take to acknowledge.
    """

    patience: timedelta = timedelta(seconds=3)
    body: BodyLimits = field(default_factory=BodyLimits)
    content: bool = False


@dataclass(slots=True)
class Draining:
    """Whether the collector ends: what was begun is finished, and nothing new should come."""

    begun: bool = False


@dataclass(frozen=True, slots=True)
class Collector:
    """The parts that the APIs share."""

    log: LogWriter
    settings: CollectorSettings = field(default_factory=CollectorSettings)
    access: Access = field(default_factory=OpenAccess)
    counts: Counts = field(default_factory=Counts)
    draining: Draining = field(default_factory=Draining)
    room: BodyRoom = field(default_factory=BodyRoom)
    others: OtherProcesses = field(default_factory=OtherProcesses)

    async def body(self, request: Request) -> bytes:
        """Return a request's body, unpacked. Raises: Problem."""
        return await read_body(request, self.settings.body, self.room)

    def admit(self, request: Request, presented: str | None, scope: Scope) -> Caller:
        """Return who sent `request`. Raises: KeyRefused, Problem."""
        return self.access.admit(presented, scope, request.client.host if request.client else "")

    async def take(
        self, api: str, caller: Caller, events: Sequence[EventFields], *, in_log: bool = False
    ) -> list[Placed | EventRejected]:
        """Put events into the log; return where each lies, or why it can never be an event.

        Shape: `api` names the family of clients for the counts. Where Kafka is down, events may be
        KEPT in a journal, unless they must be `in_log` because the answer depends on their place.
        Delivery: nothing returned is lost. Raises: CollectorBusy, BrokerUnavailable (retry):
        nothing is certain, and the caller sends all of it again.
        """
        made = [record_of(each, caller) for each in events]
        records = [each for each in made if not isinstance(each, EventRejected)]
        placed = iter(await self.put(api, records, in_log=in_log))
        self.counts.events(api, accepted=0, rejected=len(made) - len(records))
        return [each if isinstance(each, EventRejected) else next(placed) for each in made]

    async def put(
        self, api: str, records: Sequence[Record], *, in_log: bool = False
    ) -> list[Placed]:
        """Put records into the log as `take` does; return where each lies."""
        put = self.log.append if in_log else self.log.accept
        placed = await put(records) if records else []
        self.counts.events(api, accepted=len(placed), rejected=0)
        return placed

    async def set_aside(self, items: Sequence[SetAside]) -> None:
        """Keep what can be no event, but was sent by a client that must not send it again.

        Shape: `runfold dlq` lists them with their bytes, source and reason.
        Delivery: nothing is lost once this returns. Raises: BrokerUnavailable (retry).
        """
        if items:
            await self.log.set_aside([letter_of(each, self.log.topic) for each in items])


def bearer_of(request: Request) -> str | None:
    """Return the key that a request presents as `Authorization: Bearer` or `X-API-Key`."""
    words = request.headers.get("authorization", "").split(maxsplit=1)
    if len(words) == 2 and words[0].lower() == "bearer":
        return words[1].strip()
    return request.headers.get("x-api-key") or None


def password_of(request: Request) -> str | None:
    """Return the key that a request presents as the password of basic authentication."""
    words = request.headers.get("authorization", "").split()
    if len(words) != 2 or words[0].lower() != "basic":
        return None
    try:
        return b64decode(words[1], validate=True).decode("utf-8").partition(":")[2] or None
    except ValueError:
        return None
