"""Erasing a subject from all that runfold keeps, and looking whether anything is left."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from runfold.deploy.letter_erasing import erase_letters, letters_of
from runfold.deploy.log_cutting import cut_log, runs_in_log
from runfold.deploy.log_lag import log_bounds
from runfold.deploy.retention import durable_offsets
from runfold.deploy.settings import Settings
from runfold.processors.topic_watch import describe_topic
from runfold.producers.client_settings import find_journal_dir
from runfold.producers.journal_contents import journal_mentions, mentioning
from runfold.producers.journal_publisher import JournalPublisher
from runfold.producers.orphans import ship_orphan, waiting_orphans
from runfold.producers.rejected import erase_rejected
from runfold.producers.shipping import ShippedCounts
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError, LakeUnavailable
from runfold.sinks.erasure.finding import all_sessions, runs_of_subject, session_of
from runfold.sinks.erasure.record import (
    Erasure,
    erasures,
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
_SHIPPING_PATIENCE = timedelta(seconds=15)
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

    Shape: journals that dead processes of this machine left for this Kafka are shipped first, and
    of the others only what was rejected is removed; see `find_left`.
    Delivery: broken off anywhere, it is gone on with when it is repeated; safe beside workers.
    Raises: ConfigurationError where nothing is known of the subject; LakeUnavailable where workers
    have not taken the log over; BrokerUnavailable, PostgresUnavailable (retry).
    """
    root = settings.lake_dir
    check_lake(root)
    ends = _all_in_lake(settings, on_step)
    on_step("looking for runs")
    known = find_erasure(root, subject.by, subject.name)
    runs = runs_of_subject(root, subject.by, subject.name)
    if known is None and not runs:
        raise ConfigurationError(f"nothing is stored of the {subject.by} {subject.name!r}")
    known = known or new_erasure(subject.by, subject.name)
    return _carry_out(settings, replace(known.with_runs(runs), offsets=ends), subject.name, on_step)


def erase_again(settings: Settings, *, on_step: OnStep) -> list[Erasure]:
    """Remove what came back of all that was erased; return what was carried out again.

    Shape: of a session all that names it, of a user or a host, who may come back, only the runs
    that were erased. Raises: as `erase`.
    """
    check_lake(settings.lake_dir)
    ends = _all_in_lake(settings, on_step)
    return [
        _carry_out(settings, replace(erasure, offsets=ends), name, on_step)
        for erasure, name in _known_erasures(settings, on_step)
        if any(_left_of(settings, erasure, name, on_step).values())
    ]


def _known_erasures(settings: Settings, on_step: OnStep) -> Iterator[tuple[Erasure, str | None]]:
    """Yield what is noted, with the runs that came since, and the session where it is found."""
    root = settings.lake_dir
    on_step("looking for sessions")
    sessions = all_sessions(root)
    for erasure in erasures(root):
        name = session_of(erasure, sessions)
        runs = runs_of_subject(root, "session", name) if name is not None else set()
        yield erasure.with_runs(runs), name


def _carry_out(settings: Settings, erasure: Erasure, name: str | None, on_step: OnStep) -> Erasure:
    root = settings.lake_dir
    erasure = replace(erasure, done_at=None)
    note_begun(root, erasure)
    for remove in (_from_lake, _from_postgres, _from_letters, _from_kafka):
        erasure = _with_removed(erasure, remove(settings, erasure, on_step))
        note_begun(root, erasure)  # what was removed counts, also where this is broken off
    on_step("journals")
    return note_done(root, _with_removed(erasure, _from_journals(settings, erasure, name)))


def _with_removed(erasure: Erasure, more: Counter[str]) -> Erasure:
    return replace(erasure, removed=dict(Counter(erasure.removed) + more))


def _all_in_lake(settings: Settings, on_step: OnStep) -> dict[str, dict[str, int]]:
    """Bring what dead processes have left to the log, and the log to the lake; see below."""
    on_step("journals that dead processes left")
    asyncio.run(_ship_orphans(settings))
    return _wait_for_lake(settings, on_step)


async def _ship_orphans(settings: Settings) -> None:
    """Ship the journals that are for this Kafka; one that cannot be read stays, and is found."""
    folders = [
        folder
        for each in _journal_dirs(settings)
        for folder, owner in waiting_orphans(each).items()
        if owner is None or owner.broker in (None, settings.bootstrap)
    ]
    if not folders:
        return
    async with JournalPublisher(
        settings.bootstrap,
        topic=settings.topic,
        schema_registry=settings.schema_registry,
        patience=_SHIPPING_PATIENCE,
    ) as publisher:
        for folder in folders:
            with suppress(OSError):
                await ship_orphan(folder, publisher, ShippedCounts())


def _wait_for_lake(settings: Settings, on_step: OnStep) -> dict[str, dict[str, int]]:
    """Return for the log, by partition, the offset that it ends at, once the lake reaches it."""
    on_step("waiting for the lake to have all of the log")
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


def _from_journals(settings: Settings, erasure: Erasure, name: str | None) -> Counter[str]:
    lines = sum(
        erase_rejected(each, lambda lines: mentioning(lines, name, erasure.chosen))
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
    return _left_of(settings, erasure, subject.name, on_step)


def find_left_of_all(settings: Settings, *, on_step: OnStep) -> dict[str, list[str]]:
    """Return where something is left, or came back, of all that was erased; changes nothing.

    Raises: LakeUnavailable, BrokerUnavailable, PostgresUnavailable (retry).
    """
    check_lake(settings.lake_dir)
    left: dict[str, list[str]] = {}
    for erasure, name in _known_erasures(settings, on_step):
        for where, places in _left_of(settings, erasure, name, on_step).items():
            left.setdefault(where, []).extend(f"{erasure.id}: {place}" for place in places)
    return left


def _left_of(
    settings: Settings, erasure: Erasure, name: str | None, on_step: OnStep
) -> dict[str, list[str]]:
    on_step("the lake")
    left = {"lake": places_in_lake(settings.lake_dir, erasure)}
    if settings.postgres_url is not None:
        on_step("PostgreSQL")
        found = stored_runs(settings.postgres_url, erasure.chosen)
        left["postgres"] = [f"{table}: {runs} runs" for table, runs in found.items() if runs]
    on_step("Kafka")
    left["kafka"], left["dead_letters"] = _in_kafka(settings, name, erasure.chosen)
    on_step("journals")
    left["journals"] = [
        place
        for each in _journal_dirs(settings)
        for place in journal_mentions(each, name, erasure.chosen)
    ]
    return left


def _in_kafka(
    settings: Settings, name: str | None, choose: Callable[[Iterable[str | None]], set[str]]
) -> tuple[list[str], list[str]]:
    mentioned = None if name is None else name.encode()
    try:
        found = asyncio.run(runs_in_log(settings.bootstrap, settings.topic, choose, mentioned))
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
