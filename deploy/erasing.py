"""Erasing a subject from all that runfold keeps, and looking whether anything is left."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from runfold.deploy.letter_erasing import erase_letters, letters_of
from runfold.deploy.log_cutting import cut_log, runs_in_log
from runfold.deploy.log_lag import log_bounds
from runfold.deploy.retention import durable_offsets
from runfold.deploy.settings import Settings
from runfold.processors.topic_watch import describe_topic
from runfold.producers.client_settings import find_journal_dir
from runfold.producers.journal_contents import journal_mentions, mentioning
from runfold.producers.rejected import erase_rejected
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError, LakeUnavailable
from runfold.sinks.erasure.finding import runs_of_subject
from runfold.sinks.erasure.record import (
    Erasure,
    find_erasure,
    new_erasure,
    note_begun,
    note_done,
)
from runfold.sinks.erasure.rewriting import erase_rows
from runfold.sinks.erasure.verifying import places_in_lake
from runfold.sinks.lake_files import check_lake
from runfold.sinks.postgres import open_exporter
from runfold.sinks.postgres.erasing import erase_runs, stored_runs

_WAIT_SECONDS = 60.0
_PASSES = 10

OnStep = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who or what is to be erased: `by` is session, user or host."""

    by: str
    name: str


def erase(settings: Settings, subject: Subject, *, on_step: OnStep) -> Erasure:
    """Remove what is stored of a subject; return what is noted of it.

    Shape: of journals only what was rejected is removed; see `find_left`.
    Delivery: broken off anywhere, it is gone on with when it is repeated; safe beside workers.
    Raises: ConfigurationError where nothing is known of the subject; LakeUnavailable where workers
    have not taken the log over; BrokerUnavailable, PostgresUnavailable (retry).
    """
    root = settings.lake_dir
    check_lake(root)
    on_step("waiting for the lake to have all of the log")
    ends = _wait_for_lake(settings)
    on_step("looking for runs")
    known = find_erasure(root, subject.by, subject.name)
    runs = runs_of_subject(root, subject.by, subject.name)
    if known is None and not runs:
        raise ConfigurationError(f"nothing is stored of the {subject.by} {subject.name!r}")
    known = known or new_erasure(subject.by, subject.name)
    erasure = replace(known.with_runs(runs), offsets=ends, done_at=None)
    note_begun(root, erasure)
    for remove in (_from_lake, _from_postgres, _from_letters, _from_kafka):
        erasure = _with_removed(erasure, remove(settings, erasure, on_step))
        note_begun(root, erasure)  # what was removed counts, also where this is broken off
    on_step("journals")
    return note_done(root, _with_removed(erasure, _from_journals(settings, erasure, subject)))


def _with_removed(erasure: Erasure, more: Counter[str]) -> Erasure:
    return replace(erasure, removed=dict(Counter(erasure.removed) + more))


def _wait_for_lake(settings: Settings) -> dict[str, dict[str, int]]:
    """Return for the log, by partition, the offset that it ends at, once the lake reaches it."""
    log = asyncio.run(describe_topic(settings.bootstrap, settings.topic))
    ends = asyncio.run(log_bounds(settings.bootstrap, settings.topic)).next_offsets
    give_up_at = time.monotonic() + _WAIT_SECONDS
    while True:
        durable = durable_offsets(settings)
        behind = sum(max(0, end - durable.get(each, 0)) for each, end in ends.items())
        if not behind:
            return {log.topic_id: {str(each): end for each, end in ends.items()}}
        if time.monotonic() > give_up_at:
            raise LakeUnavailable(
                f"{behind:,} records of {settings.topic} are not in the lake yet, and Kafka cannot "
                "let go of them before; start a worker, and repeat this"
            )
        time.sleep(1.0)


def _from_lake(settings: Settings, erasure: Erasure, on_step: OnStep) -> Counter[str]:
    removed = Counter[str]()
    for _ in range(_PASSES):  # a merge that had begun may have brought rows back
        more = erase_rows(
            settings.lake_dir, erasure, lambda file: on_step(f"the lake: {file.path.name}")
        )
        removed += more
        if not more.total():
            break
    return removed


def _from_postgres(settings: Settings, erasure: Erasure, on_step: OnStep) -> Counter[str]:
    url = settings.postgres_url
    if url is None:
        return Counter()
    on_step("PostgreSQL")
    rows = erase_runs(url, erasure.chosen)
    on_step("PostgreSQL: figures")
    with open_exporter(settings.lake_dir, url) as exporter:
        exporter.rebuild(reason="a subject was erased")
    return Counter({"rows of PostgreSQL": rows})


def _from_letters(settings: Settings, erasure: Erasure, on_step: OnStep) -> Counter[str]:
    on_step("dead letters")
    letters = asyncio.run(erase_letters(settings.bootstrap, erasure.chosen))
    return Counter({"dead letters": letters})


def _from_kafka(settings: Settings, erasure: Erasure, on_step: OnStep) -> Counter[str]:
    on_step("Kafka")
    return Counter({"records of Kafka": asyncio.run(_cut(settings, erasure.offsets))})


def _from_journals(settings: Settings, erasure: Erasure, subject: Subject) -> Counter[str]:
    lines = sum(
        erase_rejected(each, lambda lines: mentioning(lines, subject.name, erasure.chosen))
        for each in _journal_dirs(settings)
    )
    return Counter({"rejected lines of journals": lines})


async def _cut(settings: Settings, ends: dict[str, dict[str, int]]) -> int:
    """Delete what the lake has; return how many records that were."""
    log = await describe_topic(settings.bootstrap, settings.topic)
    wanted = {int(partition): end for partition, end in ends.get(log.topic_id, {}).items()}
    bounds = await log_bounds(settings.bootstrap, settings.topic)
    left = {
        partition: end
        for partition, end in wanted.items()
        if end > bounds.first_offsets.get(partition, end)
    }
    await cut_log(settings.bootstrap, settings.topic, left)
    return sum(end - bounds.first_offsets[partition] for partition, end in left.items())


def find_left(settings: Settings, subject: Subject, *, on_step: OnStep) -> dict[str, list[str]]:
    """Return where something of a subject is left, by what was looked at; changes nothing.

    Raises: LakeUnavailable, BrokerUnavailable, PostgresUnavailable (retry).
    """
    root = settings.lake_dir
    check_lake(root)
    known = find_erasure(root, subject.by, subject.name) or new_erasure(subject.by, subject.name)
    erasure = known.with_runs(runs_of_subject(root, subject.by, subject.name))
    on_step("the lake")
    left = {"lake": places_in_lake(root, erasure)}
    if settings.postgres_url is not None:
        on_step("PostgreSQL")
        found = stored_runs(settings.postgres_url, erasure.chosen)
        left["postgres"] = [f"{table}: {runs} runs" for table, runs in found.items() if runs]
    on_step("Kafka")
    left["kafka"], left["dead_letters"] = _in_kafka(settings, subject, erasure.chosen)
    on_step("journals")
    left["journals"] = [
        place
        for each in _journal_dirs(settings)
        for place in journal_mentions(each, subject.name, erasure.chosen)
    ]
    return left


def _in_kafka(
    settings: Settings, subject: Subject, choose: Callable[[Iterable[str | None]], set[str]]
) -> tuple[list[str], list[str]]:
    try:
        found = asyncio.run(
            runs_in_log(settings.bootstrap, settings.topic, choose, subject.name.encode())
        )
        letters = asyncio.run(letters_of(settings.bootstrap, choose))
    except ConfigurationError as error:
        raise BrokerUnavailable(str(error)) from error
    return (
        [f"partition {each}: {records} records" for each, records in sorted(found.items())],
        [f"{letters} dead letters"] if letters else [],
    )


def _journal_dirs(settings: Settings) -> list[Path]:
    """Return where the agents and the collector of this machine have their journals."""
    chosen = "RUNFOLD_JOURNAL" in os.environ
    of_agents = find_journal_dir(None) if chosen else settings.home / "journal"
    return [of_agents, settings.collector_journal_dir]
