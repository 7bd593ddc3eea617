"""Replaying logs into a set of states of their own, from the topic or from the lake alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from runfold.deploy.log_lag import log_bounds
from runfold.deploy.settings import Settings
from runfold.processors.catching_up import catch_up
from runfold.processors.folds import FoldFrame, find_fold
from runfold.processors.replaying import replay_topic
from runfold.processors.run_table import RunTable
from runfold.processors.topic_watch import describe_topic
from runfold.schemas.codec.confluent import event_framing
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.lake import LogDescription
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import Kind, check_lake, list_whole_lake
from runfold.sinks.object_path import LakePath
from runfold.sinks.query import open_lake
from runfold.sinks.retention.keeping import keep_states
from runfold.sinks.retention.plan import events_begin
from runfold.sinks.state_sets import StateSet, all_sets, check_name, find_set, serve, write_set
from runfold.sinks.views import prepare_lake

OnRecords = Callable[[int], None]
"""Called with how many records more have been replayed."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What is to be replayed, with which fold, into which set.

    Shape: one of `from_offset` and `since` at most; both leave earlier records out. With
    `from_lake` the stored events are folded and no broker is asked.
    """

    into: str
    fold: str = "default"
    from_lake: bool = False
    from_offset: int | None = None
    since: datetime | None = None

    @property
    def described(self) -> StateSet:
        """The set that this makes, while it is not complete."""
        source = "the lake" if self.from_lake else "the topic"
        if self.from_offset is not None:
            source += f" from offset {self.from_offset}"
        if self.since is not None:
            source += f" since {self.since.isoformat()}"
        partial = self.from_offset is not None or self.since is not None
        return StateSet(self.into, self.fold, source, partial=partial, complete=False)


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The offsets to fold: of the topic that there is now, and of what the lake alone has."""

    topic: LogDescription | None
    from_topic: Mapping[int, OffsetRange]
    from_lake: Mapping[LogPartition, OffsetRange]

    @property
    def records(self) -> int:
        """How many records that is, at most."""
        return sum(map(len, (*self.from_topic.values(), *self.from_lake.values())))


def plan_replay(settings: Settings, replay: Replay) -> ReplayPlan:
    """Return what a replay will fold: all that the lake accounts for, or a part of it.

    Raises: ConfigurationError, LakeUnavailable, BrokerUnavailable.
    """
    root = settings.lake_dir
    check_lake(root)
    find_fold(replay.fold)
    known = {each.name: each for each in all_sets(root)}.get(check_name(replay.into))
    if known is not None and replace(known, complete=False) != replay.described:
        raise ConfigurationError(
            f"{replay.into!r} is a replay of {known.source} with the fold {known.fold!r} already; "
            f"take another name, or remove it by `runfold replay rm {replay.into}`"
        )
    offsets = _offsets(settings, replay)
    if replay.from_lake:
        return ReplayPlan(None, {}, offsets)
    topic = asyncio.run(describe_topic(settings.bootstrap, settings.topic))
    bounds = asyncio.run(log_bounds(settings.bootstrap, settings.topic))
    from_topic = {
        place.partition: wanted
        for place, wanted in offsets.items()
        if place.topic_id == topic.topic_id
    }
    for partition, wanted in from_topic.items():
        if bounds.first_offsets.get(partition, 0) > wanted.first:
            raise ConfigurationError(
                f"{settings.topic} partition {partition} begins at offset "
                f"{bounds.first_offsets[partition]} by now; the lake has it from {wanted.first} "
                "on: use --from-lake"
            )
    others = {place: each for place, each in offsets.items() if place.topic_id != topic.topic_id}
    return ReplayPlan(topic, from_topic, others)


def _offsets(settings: Settings, replay: Replay) -> dict[LogPartition, OffsetRange]:
    """Return for each partition that the lake knows what of it is to be folded."""
    lake = LocalLake(settings.lake_dir)
    firsts = _firsts_since(settings, replay.since) if replay.since is not None else None
    offsets: dict[LogPartition, OffsetRange] = {}
    for place in _logs_in(settings.lake_dir):
        point = lake.resume(place)
        first, end = point.first_offset, point.events_end
        if first is None or end is None:
            continue
        if firsts is not None:
            first = firsts.get(place, end)
        if replay.from_offset is not None:
            first = max(first, replay.from_offset)
        if first < end:
            offsets[place] = OffsetRange(first, end - 1)
    return offsets


def _logs_in(root: LakePath) -> list[LogPartition]:
    with lake_errors(root, "list"):
        return sorted({file.log for file in list_whole_lake(root, Kind.EVENTS)[0]})


def _firsts_since(settings: Settings, since: datetime) -> dict[LogPartition, int]:
    with open_lake(settings.lake_dir) as queries:
        rows = queries.rows(
            'select topic_id, partition, min("offset") as first from lake_rows '
            "where recorded_at >= ? group by all",
            [since],
        )
    return {LogPartition(row["topic_id"], row["partition"]): row["first"] for row in rows}


def run_replay(
    settings: Settings, replay: Replay, plan: ReplayPlan, *, on_records: OnRecords
) -> None:
    """Fold what `plan` says into the set; safe to stop and to repeat.

    Raises: what `replay_topic` and `catch_up` raise.
    """
    root = settings.lake_dir
    write_set(root, replay.described)
    lake = LocalLake(root, replay=replay.into)
    fold = find_fold(replay.fold)
    for place, wanted in plan.from_lake.items():
        table = _table_over(lake, place, wanted.first, fold, partial=replay.described.partial)
        on_records(table.next_offset - wanted.first)
        catch_up(table, lake, wanted.next_offset, on_records=on_records)
    if plan.topic is not None and plan.from_topic:
        framing = event_framing(settings.schema_registry)
        folding = replay_topic(
            *(settings.bootstrap, plan.topic, plan.from_topic, lake),
            fold=fold, framing=framing, on_records=on_records,
        )  # fmt: skip
        asyncio.run(folding)
    write_set(root, replace(replay.described, complete=True))


def _table_over(
    lake: LocalLake, place: LogPartition, first: int, fold: FoldFrame, *, partial: bool
) -> RunTable:
    """Return the table of a set that is made of the stored events, at the first one to fold.

    States of runs whose events were removed by age are those of the set that serves.
    """
    begin = events_begin(lake.root, place)
    point = lake.resume(place)
    if partial:
        first = max(first, begin)
    elif (point.next_offset or 0) <= first < begin:
        keep_states(lake, place, OffsetRange(first, begin - 1))
        point = lake.resume(place)
    table = RunTable(place, max(first, point.next_offset or 0), point.runs, fold=fold)
    table.kept_before = begin
    return table


def promote(settings: Settings, name: str, *, on_records: OnRecords) -> StateSet:
    """Let the set of that name serve, once it is as far as the lake's events are; return it.

    Raises: ConfigurationError where it cannot serve.
    """
    root = settings.lake_dir
    chosen = find_set(root, name)
    if not chosen.complete:
        raise ConfigurationError(
            f"the replay {name!r} has not been finished; repeat it, and it goes on"
        )
    if chosen.partial:
        raise ConfigurationError(
            f"the replay {name!r} is of {chosen.source}: runs that began earlier are not whole in "
            "it, so it cannot serve"
        )
    fold_stored_events(LocalLake(root, replay=name), on_records=on_records)
    serve(root, name)
    prepare_lake(root)
    return chosen


def fold_stored_events(lake: LocalLake, *, on_records: OnRecords) -> None:
    """Bring the states of `lake` up to its last stored event.

    Raises: LakeUnavailable, LakeCorrupt (retry).
    """
    fold = find_fold(lake.states.fold)
    for place in _logs_in(lake.root):
        point = lake.resume(place)
        if point.next_offset is not None and point.events_end is not None:
            table = RunTable(place, point.next_offset, point.runs, fold=fold)
            table.kept_before = events_begin(lake.root, place)
            catch_up(table, lake, point.events_end, on_records=on_records)
