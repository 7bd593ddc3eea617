"""Backing up what runfold keeps, and restoring it: the lake, and topics that it does not hold."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from runfold.deploy.log_lag import log_bounds
from runfold.deploy.replays import fold_stored_events
from runfold.deploy.settings import Settings
from runfold.deploy.topic_copies import copy_topics, put_topic_back
from runfold.processors.topic_watch import describe_topic
from runfold.schemas.errors import ConfigurationError
from runfold.sinks.backup.contents import Contents
from runfold.sinks.backup.erasures import bring_later_erasures
from runfold.sinks.backup.manifest import TOPICS, KeptLog, Manifest
from runfold.sinks.backup.restoring import end_restore, restore_lake
from runfold.sinks.backup.taking import OnFile, Taken, TopicCopy, take_backup
from runfold.sinks.erasure.record import Erasure
from runfold.sinks.lake import LocalLake
from runfold.sinks.lake_files import check_lake
from runfold.sinks.object_path import LakePath

OnStep = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Shape: `records` were sent to each topic, `folded` behind the states; `erasures` came after the
    backup, so that what they removed is back.
    """

    manifest: Manifest
    size_bytes: int
    folded: int
    records: dict[str, int]
    erasures: list[str]


def back_up(
    settings: Settings, place: LakePath, *, lake_only: bool, on_step: OnStep, on_file: OnFile
) -> Taken:
    """Make a backup in `place`; with `lake_only` no broker is asked.

    Raises: LakeUnavailable, LakeCorrupt, BrokerUnavailable.
    """
    check_lake(settings.lake_dir)
    with tempfile.TemporaryDirectory(prefix="runfold-backup-") as folder:
        copies: list[TopicCopy] = []
        if not lake_only:
            on_step("copying topics")
            topics = copy_topics(settings.bootstrap, settings.topic, Path(folder))
            copies = asyncio.run(topics)
        on_step("copying the lake")

        def not_in_lake(logs: list[KeptLog]) -> int | None:
            return None if lake_only else asyncio.run(_not_in_lake(settings, logs))

        return take_backup(
            settings.lake_dir, place, copies, not_in_lake=not_in_lake, on_file=on_file
        )


async def _not_in_lake(settings: Settings, logs: list[KeptLog]) -> int | None:
    try:
        log = await describe_topic(settings.bootstrap, settings.topic)
    except ConfigurationError:  # there is no such topic
        return 0
    bounds = await log_bounds(settings.bootstrap, settings.topic)
    ends = {each.partition: each.states_end for each in logs if each.topic_id == log.topic_id}
    return bounds.lag(ends)


def restore(
    settings: Settings,
    place: LakePath,
    manifest: Manifest,
    *,
    lake_only: bool,
    replaced: Iterable[Erasure] = (),
    on_step: OnStep,
    on_file: OnFile,
) -> Restored:
    """Put a backup back: the lake of `settings`, which must be empty, and the topics.

    Shape: `replaced` are the erasures of the lake that was there before.
    Delivery: one that was broken off is gone on with when it is repeated.
    Raises: ConfigurationError, LakeUnavailable, LakeCorrupt, BrokerUnavailable.
    """
    root = settings.lake_dir
    on_step("restoring the lake")
    size_bytes = restore_lake(place, manifest, root, on_file=on_file)
    erased = bring_later_erasures(place, manifest, root, replaced)
    on_step("folding what the states had not reached")
    folded: list[int] = []
    fold_stored_events(LocalLake(root), on_records=folded.append)
    records = {} if lake_only else _put_topics_back(settings, place, manifest, on_step)
    end_restore(root)
    return Restored(manifest, size_bytes, sum(folded), records, erased)


def _put_topics_back(
    settings: Settings, place: LakePath, manifest: Manifest, on_step: OnStep
) -> dict[str, int]:
    files = {each.path: each for each in manifest.files}
    contents = Contents(place)
    records: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="runfold-restore-") as folder:
        for topic in manifest.topics:
            on_step(f"restoring the topic {topic.name}")
            copy = files.get(f"{TOPICS}{topic.name}.parquet")
            path = None
            if copy is not None:
                path = Path(folder) / f"{topic.name}.parquet"
                contents.fetch(copy, path)
            sent = asyncio.run(put_topic_back(settings.bootstrap, topic, path))
            if copy is not None:
                records[topic.name] = sent
    return records
