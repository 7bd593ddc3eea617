"""Gathering what an audit needs: what journals hold, what the lake lists, what the log says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import orjson

from runfold.deploy.log_lag import log_bounds
from runfold.deploy.settings import Settings
from runfold.processors.topic_watch import describe_topic
from runfold.producers.client_settings import find_journal_dir
from runfold.producers.journal_contents import JournalContents, journal_contents
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError, LakeUnavailable
from runfold.sinks.audit.audit import OnStep, audit
from runfold.sinks.audit.coverage import list_lake
from runfold.sinks.audit.drops import read_drop
from runfold.sinks.audit.report import Drop, Facts, KnownLog, Report, Scope
from runfold.sinks.lake_files import check_lake

_ATTEMPTS = 4
_PATIENCE_SECONDS = 10.0


def audit_lake(settings: Settings, scope: Scope, *, on_step: OnStep) -> Report:
    """Audit the lake of `settings` against its journals and, where it answers, its broker.

    Raises: LakeUnavailable where there is no lake, or files come and go for too long.
    """
    root = settings.lake_dir
    check_lake(root)
    attempt = 1
    while True:
        try:
            return _audit(settings, scope, on_step)
        except LakeUnavailable:  # a file may be compacted away between listing and reading
            if attempt == _ATTEMPTS:
                raise
            attempt += 1


def _audit(settings: Settings, scope: Scope, on_step: OnStep) -> Report:
    on_step("journals")
    journals = journal_contents(_journal_dir(settings))
    on_step("listing the lake")
    listing = list_lake(settings.lake_dir)
    on_step(f"asking Kafka at {settings.bootstrap}")
    log, unknown = asyncio.run(_known_log(settings.bootstrap, settings.topic))
    facts = Facts(log, unknown, journals.waiting, list(_drops(journals)))
    return audit(settings.lake_dir, listing, facts, scope, on_step=on_step)


def _journal_dir(settings: Settings) -> Path:
    chosen = "RUNFOLD_JOURNAL" in os.environ
    return find_journal_dir(None) if chosen else settings.home / "journal"


def _drops(journals: JournalContents) -> Iterator[Drop]:
    for line in journals.drops:
        event = orjson.loads(line)
        drop = read_drop(event["run_id"], event["attributes"])
        if drop is not None:
            yield drop


async def _known_log(bootstrap: str, topic: str) -> tuple[KnownLog | None, str]:
    """Return what Kafka says of the log; where it says nothing, why."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            described = await describe_topic(bootstrap, topic)
            bounds = await log_bounds(bootstrap, topic)
    except (BrokerUnavailable, ConfigurationError) as error:
        return None, str(error)
    except TimeoutError:
        return None, f"no answer from Kafka at {bootstrap} within {_PATIENCE_SECONDS:.0f} s"
    return KnownLog(described.topic_id, bounds.first_offsets, bounds.next_offsets), ""
