"""Removing what is older than it is to be kept: from the lake, and from Kafka what the lake has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from runfold.deploy.log_cutting import cut_log, old_records
from runfold.deploy.settings import Settings
from runfold.processors.topic_watch import describe_topic
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.lake import CompactionCounts
from runfold.schemas.offsets import LogPartition
from runfold.schemas.topic import DEAD_LETTERS
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import check_lake
from runfold.sinks.retention.expiring import expire
from runfold.sinks.retention.plan import Expiry, Hindrance, plan_expiry

OnStep = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True, slots=True)
class Ages:
    """How long each kind of data is kept; None for ever."""

    events: timedelta | None = timedelta(days=90)
    kafka: timedelta | None = timedelta(days=90)
    dead_letters: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What is too old.

    Shape: `kafka` and `dead_letters` have for each partition the first offset that is there and
    the first that stays.
    """

    events: list[Expiry]
    hindrances: list[Hindrance]
    kafka: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    dead_letters: Mapping[int, tuple[int, int]] = field(default_factory=dict)


def plan_retention(settings: Settings, ages: Ages, now: datetime) -> RetentionPlan:
    """Return what is too old; nothing of Kafka that the lake does not hold durably.

    Raises: LakeUnavailable, BrokerUnavailable.
    """
    root = settings.lake_dir
    check_lake(root)
    events: list[Expiry] = []
    hindrances: list[Hindrance] = []
    if ages.events is not None:
        events, hindrances = plan_expiry(root, (now - ages.events).astimezone(UTC).date())
    kafka = {} if ages.kafka is None else _old_in_kafka(settings, now - ages.kafka)
    letters: Mapping[int, tuple[int, int]] = {}
    if ages.dead_letters is not None:
        before = now - ages.dead_letters
        letters = asyncio.run(old_records(settings.bootstrap, DEAD_LETTERS.name, before))
    return RetentionPlan(events, hindrances, kafka, letters)


def durable_offsets(settings: Settings) -> dict[int, int]:
    """Return for each partition of the topic how far the lake has its events and states.

    Shape: nothing where there is no such topic. Raises: LakeUnavailable, BrokerUnavailable.
    """
    try:
        log = asyncio.run(describe_topic(settings.bootstrap, settings.topic))
    except ConfigurationError:
        return {}
    lake = LocalLake(settings.lake_dir)
    points = {
        partition: lake.resume(LogPartition(log.topic_id, partition)).next_offset
        for partition in range(log.partitions)
    }
    return {partition: end for partition, end in points.items() if end is not None}


def _old_in_kafka(settings: Settings, before: datetime) -> dict[int, tuple[int, int]]:
    durable = durable_offsets(settings)
    old = asyncio.run(old_records(settings.bootstrap, settings.topic, before))
    bounded = {
        partition: (first, min(end, durable.get(partition, first)))
        for partition, (first, end) in old.items()
    }
    return {partition: span for partition, span in bounded.items() if span[0] < span[1]}


def carry_out(
    settings: Settings, plan: RetentionPlan, grace: timedelta, *, on_step: OnStep
) -> CompactionCounts:
    """Remove what `plan` says; files that queries may read stay for `grace`.

    Delivery: safe beside workers and readers, to break off and to repeat.
    Raises: LakeUnavailable, LakeCorrupt, BrokerUnavailable.
    """

    def on_log(each: Expiry) -> None:
        on_step(f"partition {each.log.partition} of {each.log.topic_id}")

    done = expire(settings.lake_dir, plan.events, grace, on_log=on_log)
    for topic, spans in (
        (settings.topic, plan.kafka),
        (DEAD_LETTERS.name, plan.dead_letters),
    ):
        on_step(f"records of {topic}")
        ends = {partition: end for partition, (_, end) in spans.items()}
        asyncio.run(cut_log(settings.bootstrap, topic, ends))
    return done
