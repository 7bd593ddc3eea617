"""Which dead letters a command is about, and reading them with progress."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from runfold.deploy.cli.runs import moment
from runfold.deploy.cli.terminal import ERR
from runfold.processors.dead_letter_index import DeadLetterIndex, LetterEntry
from runfold.processors.dead_letter_log import DeadLetterLog, OnRead
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.vocabulary import DeadLetterReason

_KEY = re.compile(r"(?:(?P<topic>.+)/)?(?P<partition>[0-9]{1,9})/(?P<offset>[0-9]{1,18})")

RecordKey = tuple[str, int, int]
"""Topic, partition and offset of a letter's record."""

Keys = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY", help="These letters: partition/offset, as ls shows them."),
]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Only of this reason: not_avro, bad_time, …")
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Only records that came since: 15m, 2h, 3d, or a time."),
]
Everything = Annotated[bool, typer.Option("--all", help="All open letters of the topic.")]
Run = Annotated[str | None, typer.Option("--run", metavar="ID", help="Only with this key.")]
Topic = Annotated[
    str | None,
    typer.Option("--topic", help="Topic that the records came from. \\[default: runfold.events]"),
]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are wanted: those of `keys`, else all of `topic` that fit the rest."""

    topic: str
    keys: Sequence[RecordKey] = ()
    reason: str | None = None
    since: datetime | None = None
    run: str | None = None

    def of(self, entries: Sequence[LetterEntry]) -> list[LetterEntry]:
        """Return the wanted ones of `entries`, which are newest first.

        Raises: ConfigurationError for a key that none of them has.
        """
        if self.keys:
            return [letter_of(key, entries) for key in dict.fromkeys(self.keys)]
        return [
            each
            for each in entries
            if each.place.topic == self.topic
            and self.reason in (None, each.reason)
            and (self.since is None or each.recorded_at >= self.since)
            and self.run in (None, each.run_id)
        ]


def select(
    topic: str,
    keys: Sequence[str] | None,
    reason: str | None,
    since: str | None,
    run: str | None,
    *,
    everything: bool,
) -> Selection:
    """Return the selection that options mean. Raises: ConfigurationError where they mean none."""
    narrowed = (reason, since, run) != (None, None, None)
    if not (keys or narrowed or everything):
        raise ConfigurationError("say which letters: KEYs, --reason, --since, --run or --all")
    if keys and (narrowed or everything):
        raise ConfigurationError("give either KEYs or --reason, --since, --run and --all")
    known = [each.value for each in DeadLetterReason]
    if reason is not None and reason not in known:
        raise ConfigurationError(f"no reason {reason!r}; there are {', '.join(known)}")
    start = None if since is None else moment(since, datetime.now(UTC))
    return Selection(topic, [read_key(each, topic) for each in keys or ()], reason, start, run)


def read_key(text: str, topic: str) -> RecordKey:
    """Return what `text` names, in `topic` where it names none. Raises: ConfigurationError."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"{text!r} is no key: partition/offset is needed, as 3/1200, or topic/partition/offset"
        )
    return match["topic"] or topic, int(match["partition"]), int(match["offset"])


def letter_of(key: RecordKey, entries: Sequence[LetterEntry]) -> LetterEntry:
    """Return the letter of that key; of a topic that was made anew, the newest one.

    Shape: `entries` are newest first. Raises: ConfigurationError.
    """
    for each in entries:
        if (each.place.topic, each.place.partition, each.place.offset) == key:
            return each
    topic, partition, offset = key
    raise ConfigurationError(
        f"there is no dead letter {partition}/{offset} of {topic}; "
        "`runfold dlq ls --each` lists them"
    )


def short_key(entry: LetterEntry) -> str:
    """Return what names a letter among those of its topic."""
    return f"{entry.place.partition}/{entry.place.offset}"


def read_index(bootstrap: str) -> DeadLetterIndex:
    """Read the dead-letter topic. Raises: BrokerUnavailable (retry)."""
    with reading("reading dead letters") as on_read:
        index = asyncio.run(DeadLetterLog(bootstrap).index(on_read))
    if index.unreadable:
        partition, offset = index.unreadable[0]
        ERR.print(
            f"[yellow]warning:[/] {len(index.unreadable):,} records of the dead-letter topic are "
            f"neither letters nor marks, the first in partition {partition} at offset {offset}"
        )
    return index


@contextmanager
def reading(what: str) -> Iterator[OnRead]:
    """Show how far a topic has been read, for as long as that takes."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=ERR, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
