"""The events that every contender reads: a fleet of agents, many runs at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from aiokafka import AIOKafkaProducer

from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.topic import EVENTS

RUNS_AT_ONCE = 500
EVENTS_A_RUN = 20
SENT_TWICE_EVERY = 1000
"""One record in so many is a repetition of one sent before, as a retrying producer makes them."""

_BEGIN_US = 1_763_000_000_000_000
_FUTURES_AT_ONCE = 20_000
_TOOLS = ("Bash", "Read", "Edit", "Grep", "WebFetch", "Task")


@dataclass(frozen=True, slots=True)
class Totals:
    """What a right answer holds: the sums over all distinct events."""

    events: int = 0
    input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class FilledTopic:
    """A topic that holds `records` records, some of them twice, and what they add up to.

    Units: `value_bytes` the mean size of a record's value.
    """

    name: str
    records: int
    totals: Totals
    value_bytes: float = 0.0


def fleet(records: int, *, events_a_run: int = EVENTS_A_RUN) -> Iterator[dict[str, Any]]:
    """Yield `records` events of a busy fleet, in the order in which they are sent.

    Shape: the same for the same arguments; the last runs may be cut short.
    """
    chance = random.Random(records)
    live: list[list[int]] = []
    begun = 0
    repeatable: dict[str, Any] | None = None
    for place in range(records):
        if place % SENT_TWICE_EVERY == SENT_TWICE_EVERY - 1 and repeatable is not None:
            yield repeatable
            continue
        while len(live) < RUNS_AT_ONCE:
            live.append([begun, 0])
            begun += 1
        at = chance.randrange(RUNS_AT_ONCE)
        run, step = live[at]
        live[at][1] += 1
        if step == events_a_run - 1:
            live[at] = live[-1]
            live.pop()
        event = _event(run, step, step == events_a_run - 1, chance)
        event["occurred_at"] = _BEGIN_US + place * 1000
        if chance.random() < 0.01:
            repeatable = event
        yield event


def _event(run: int, step: int, last: bool, chance: random.Random) -> dict[str, Any]:
    run_id = f"run-{run:08d}"
    producer = f"rf{run % 30:020x}.{run}"
    event: dict[str, Any] = {
        "event_id": f"{producer}-{step + 1}",
        "run_id": run_id,
        "session_id": f"session-{run // 4:07d}",
    }
    if step == 0:
        return event | {
            "event_type": "run.started",
            "agent_name": f"agent-{run % 30}",
            "agent_version": "1.4.2",
            "project": "payments",
            "environment": "production",
            "host": f"host-{run % 8}.example",
            "trigger_type": "schedule",
        }
    if last:
        status = "failure" if run % 17 == 0 else "success"
        return event | {"event_type": "run.ended", "status": status, "items_succeeded": run % 40}
    tool = _TOOLS[(run + step // 3) % len(_TOOLS)]
    span = f"{run:08x}{step // 3:08x}"
    if step % 3 == 1:
        return event | {"event_type": "tool.started", "tool_name": tool, "span_id": span}
    if step % 3 == 2:
        status = "failure" if chance.random() < 0.03 else "success"
        ended = {"event_type": "tool.ended", "tool_name": tool, "span_id": span}
        return event | ended | {"status": status, "duration_ms": chance.random() * 2000}
    return event | {
        "event_type": "llm.called",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "span_id": span,
        "input_tokens": chance.randrange(200, 4000),
        "output_tokens": chance.randrange(20, 2000),
        "cache_read_tokens": chance.randrange(0, 60_000),
        "cost_usd": round(chance.random() / 10, 6),
        "duration_ms": chance.random() * 9000,
    }


async def fill(
    bootstrap: str, name: str, records: int, *, events_a_run: int = EVENTS_A_RUN
) -> FilledTopic:
    """Create topic `name` like the events topic, and fill it. Raises: BrokerUnavailable."""
    await ensure_topics(bootstrap, [replace(EVENTS, name=name)])
    encode = SparseEncoder(latest("event"))
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=20,
        max_batch_size=256 * 1024,
    )
    await producer.start()
    try:
        ids: set[str] = set()
        tokens = value_bytes = 0
        waiting = []
        for event in fleet(records, events_a_run=events_a_run):
            value = encode(event)
            value_bytes += len(value)
            if event["event_id"] not in ids:
                ids.add(event["event_id"])
                tokens += event.get("input_tokens", 0)
            waiting.append(await producer.send(name, value, key=event["run_id"].encode()))
            if len(waiting) >= _FUTURES_AT_ONCE:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return FilledTopic(name, records, Totals(len(ids), tokens), value_bytes / records)
