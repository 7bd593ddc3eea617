"""The demo fleet: many runs of many agents, in the order in which they would arrive.

Everything follows from the seed and the present time; nothing here knows Kafka.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from runfold.producers.demo.agents import AGENTS, Agent
from runfold.producers.demo.bad_records import BadRecord, bad_records
from runfold.producers.demo.kinds import play
from runfold.producers.demo.script import SECOND_US, Process, RunScript, digest
from runfold.schemas.vocabulary import RunStatus

SPAN = timedelta(hours=6)
DUPLICATE_RATE = 0.02
LOST_EVENTS = 17
_BAD_ENDS = (RunStatus.FAILURE, RunStatus.FAILURE, RunStatus.TIMEOUT, RunStatus.PARTIAL)


@dataclass(frozen=True, slots=True)
class DemoRecord:
    """One record to publish: an event, or a bad record.

    Units: `at_us` microseconds since 1970 UTC, when it arrives.
    """

    at_us: int
    event: dict[str, Any] | None = None
    bad: BadRecord | None = None


def generate_fleet(
    seed: int, now: datetime, runs: int = 300, *, losses: bool = True
) -> Iterator[DemoRecord]:
    """Yield what a fleet published in the last hours up to `now`, in order of arrival.

    Shape: `runs` runs with their sub-agents; those that `now` cuts off are still running. Two
    in a hundred events come twice, a few records are bad, and with `losses` one run lost events
    on the way.
    Delivery: the same records with the same ids for the same arguments.
    """
    now_us = _microseconds(now)
    spoiled = _spoil(seed, now_us)
    for record in _by_time(seed, now_us, runs, losses=losses):
        if record.at_us > now_us:
            break
        while spoiled and spoiled[0].at_us <= record.at_us:
            yield spoiled.pop(0)
        yield record
    yield from spoiled


def generate_live(seed: int, now: datetime, runs: int = 300) -> Iterator[DemoRecord]:
    """Yield without end what the fleet of `generate_fleet` publishes after `now`."""
    now_us = _microseconds(now)
    for record in _by_time(seed, now_us, runs, live=True):
        if record.at_us > now_us:
            yield record


def _microseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("the time needs a time zone")
    return round(moment.timestamp() * SECOND_US)


def _spoil(seed: int, now_us: int) -> list[DemoRecord]:
    rng = Random(f"{seed}:bad")
    span_us = int(SPAN.total_seconds()) * SECOND_US
    bad = bad_records(seed, now_us)
    records = [DemoRecord(now_us - rng.randrange(span_us), bad=each) for each in bad]
    return sorted(records, key=lambda each: each.at_us)


def _by_time(
    seed: int, now_us: int, runs: int, *, live: bool = False, losses: bool = True
) -> Iterator[DemoRecord]:
    """Merge the records of all runs; a run joins when the clock has come to its start."""
    waiting: list[tuple[int, int, DemoRecord]] = []
    order = count()
    for started_us, records in _runs(seed, now_us, runs, live=live, losses=losses):
        while waiting and waiting[0][0] <= started_us:
            yield heapq.heappop(waiting)[2]
        for record in records:
            heapq.heappush(waiting, (record.at_us, next(order), record))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _runs(
    seed: int, now_us: int, runs: int, *, live: bool, losses: bool
) -> Iterator[tuple[int, list[DemoRecord]]]:
    """Yield each run's start and its records, by start."""
    rng = Random(f"{seed}:starts")
    span_us = int(SPAN.total_seconds()) * SECOND_US
    starts = sorted(now_us - int(span_us * rng.random()) for _ in range(runs))
    processes = {agent.name: Process(f"rf{digest(seed, now_us, agent.name)}") for agent in AGENTS}
    failed: dict[str, str] = {}
    lossy = runs // 2 if losses else None
    number = 0
    started_us = now_us
    while number < runs or live:
        if number < runs:
            started_us = starts[number]
        else:
            started_us += int(rng.expovariate(runs / span_us)) if runs else 60 * SECOND_US
        script = _play_run(f"{seed}:{now_us}:{number}", started_us, processes, failed)
        yield started_us, list(_arrivals(script, lossy=number == lossy))
        number += 1


def _play_run(
    name: str, started_us: int, processes: dict[str, Process], failed: dict[str, str]
) -> RunScript:
    rng = Random(name)
    agent: Agent = rng.choices(AGENTS, [each.weight for each in AGENTS])[0]
    script = RunScript(
        run_id=f"{agent.name}-{digest(name, size=5)}",
        process=processes[agent.name],
        rng=rng,
        clock_us=started_us,
    )
    play(script, agent, outcome=_outcome(rng, agent), retry_of=failed.pop(agent.name, None))
    if script.events[-1].get("status") == RunStatus.FAILURE.value:
        failed[agent.name] = script.run_id
    return script


def _outcome(rng: Random, agent: Agent) -> RunStatus | None:
    luck = rng.random()
    if luck < 0.015:
        return None
    if luck < 0.03:
        return RunStatus.CANCELLED
    return rng.choice(_BAD_ENDS) if luck < 0.03 + agent.failure_rate else RunStatus.SUCCESS


def _arrivals(script: RunScript, *, lossy: bool) -> Iterator[DemoRecord]:
    """Yield the events of a run and its sub-agents, some twice, and some never if `lossy`."""
    rng = Random(f"{script.run_id}:network")
    events = list(script.events)
    if lossy and len(events) > 2:
        first = max(1, (len(events) - LOST_EVENTS) // 2)
        del events[first : min(first + LOST_EVENTS, len(events) - 1)]
    for event in events:
        at_us = event["occurred_at"]
        yield DemoRecord(at_us, event=event)
        if rng.random() < DUPLICATE_RATE:
            yield DemoRecord(at_us + rng.randrange(40 * SECOND_US), event=event)
    for child in script.children:
        yield from _arrivals(child, lossy=False)
