"""Sending chosen dead letters again: planned, agreed to, sent, counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import groupby

import typer

from runfold.deploy.cli.dlq.outcome import Outcome
from runfold.deploy.cli.dlq.selection import Selection, read_index, reading
from runfold.deploy.cli.terminal import EXIT_FAILED, OUT, Format
from runfold.deploy.resending import Send
from runfold.processors.dead_letter_index import LetterEntry
from runfold.processors.dead_letter_log import DeadLetterLog, OnRead
from runfold.processors.letter_plans import Plan
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.kept_letter import KeptLetter, LetterState


@dataclass(frozen=True, slots=True)
class Job:
    """How letters are planned, and what sends those of one topic to it."""

    bootstrap: str
    plan: Callable[[Sequence[KeptLetter]], list[Plan]]
    sending: Callable[[str], AbstractAsyncContextManager[Send]]


@dataclass(frozen=True, slots=True)
class Manner:
    """What a user asked for beside the letters."""

    dry_run: bool
    again: bool
    yes: bool
    output: Format


def run_job(job: Job, selection: Selection, manner: Manner) -> None:
    """Send the selected letters again, or show what that would give.

    Raises: ConfigurationError where nobody can be asked, BrokerUnavailable (retry); what was sent
    by then counts once when it is sent again. Exits with 1 where a letter is refused.
    """
    if not (manner.dry_run or manner.yes or sys.stdin.isatty()):
        raise ConfigurationError("nobody can be asked here: add --yes, or --dry-run to look first")
    found = selection.of(read_index(job.bootstrap).entries())
    wanted = [each for each in found if manner.again or each.state is LetterState.OPEN]
    resolved = len(found) - len(wanted)
    if manner.dry_run:
        outcome = _planned(job, wanted, resolved)
        if manner.output is Format.TABLE:
            outcome.show_changes()
        outcome.print(manner.output, sent="would_be_sent")
    else:
        if wanted and not manner.yes and not _agreed(_planned(job, wanted, resolved)):
            OUT.print("nothing was sent")
            return
        outcome = _sent(job, wanted, resolved)
        outcome.show_refusals()
        outcome.print(manner.output, sent="sent")
    if outcome.refused:
        raise typer.Exit(EXIT_FAILED)


def _agreed(outcome: Outcome) -> bool:
    return typer.confirm(f"{outcome}. Go on?", err=True)


def _planned(job: Job, wanted: Sequence[LetterEntry], resolved: int) -> Outcome:
    async def plan(on_read: OnRead) -> Outcome:
        outcome = Outcome(resolved)
        async for plans in _plans(job, wanted, on_read):
            outcome.add(plans, note_all=True)
        return outcome

    with reading("planning") as on_read:
        return asyncio.run(plan(on_read))


def _sent(job: Job, wanted: Sequence[LetterEntry], resolved: int) -> Outcome:
    async def send(on_read: OnRead) -> Outcome:
        outcome = Outcome(resolved)
        by_topic = sorted(wanted, key=_topic)
        for topic, letters in groupby(by_topic, key=_topic):
            async with job.sending(topic) as send_again:
                async for plans in _plans(job, list(letters), on_read):
                    await send_again([each for each in plans if each.event is not None])
                    outcome.add(plans)
        return outcome

    with reading("sending") as on_read:
        return asyncio.run(send(on_read))


async def _plans(
    job: Job, wanted: Sequence[LetterEntry], on_read: OnRead
) -> AsyncIterator[list[Plan]]:
    async for letters in DeadLetterLog(job.bootstrap).letters(wanted, on_read):
        yield job.plan(letters)


def _topic(entry: LetterEntry) -> str:
    return entry.place.topic
