"""`runfold dlq ls`: the dead letters, by reason or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from runfold.deploy.cli.dlq.selection import (
    Reason,
    Run,
    Since,
    Topic,
    read_index,
    select,
    short_key,
)
from runfold.deploy.cli.tables import Row, print_rows
from runfold.deploy.cli.terminal import OUT, Broker, DataDir, Format
from runfold.deploy.settings import load_settings
from runfold.processors.dead_letter_index import LetterEntry
from runfold.schemas.kept_letter import LetterState

_GROUP_COLUMNS = ("reason", "letters", "open", "redriven", "fixed", "first", "last", "example")
_EACH_COLUMNS = ("key", "recorded_at", "reason", "state", "run_id", "message")


def ls(
    each: Annotated[bool, typer.Option("--each", help="One line a letter, newest first.")] = False,
    reason: Reason = None,
    since: Since = None,
    run: Run = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    output: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.TABLE,
    topic: Topic = None,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """List dead letters by reason: how many, since when, how many are still open.

    A letter is open until it is sent again by [bold]fix[/] or [bold]redrive[/].
    """
    settings = load_settings(topic=topic, broker=broker, data_dir=data_dir)
    wanted = select(settings.topic, None, reason, since, run, everything=True)
    found = wanted.of(read_index(settings.bootstrap).entries())
    rows = [_row(entry) for entry in found[:limit]] if each else _groups(found)[:limit]
    if output is not Format.TABLE:
        print_rows(rows, output, _EACH_COLUMNS if each else _GROUP_COLUMNS)
        return
    if not rows:
        OUT.print(
            f"no dead letters of {settings.topic}" + (" match" if reason or since or run else "")
        )
        return
    print_rows(rows, output)
    if each:
        OUT.print(
            f"[dim]{len(rows):,} of {len(found):,} letters; `runfold dlq show KEY` shows one[/]"
        )
    else:
        OUT.print("[dim]`runfold dlq ls --each` lists them one by one[/]")


def _groups(found: Sequence[LetterEntry]) -> list[Row]:
    by_reason: dict[str, list[LetterEntry]] = {}
    for entry in found:
        by_reason.setdefault(entry.reason, []).append(entry)
    largest_first = sorted(by_reason.items(), key=lambda group: (-len(group[1]), group[0]))
    return [_group(reason, letters) for reason, letters in largest_first]


def _group(reason: str, newest_first: Sequence[LetterEntry]) -> Row:
    states = [entry.state for entry in newest_first]
    return {
        "reason": reason,
        "letters": len(newest_first),
        **{state.value: states.count(state) for state in LetterState},
        "first": newest_first[-1].recorded_at,
        "last": newest_first[0].recorded_at,
        "example": newest_first[0].message,
    }


def _row(entry: LetterEntry) -> Row:
    return {
        "key": short_key(entry),
        "recorded_at": entry.recorded_at,
        "reason": entry.reason,
        "state": entry.state.value,
        "run_id": entry.run_id and _plain(entry.run_id),
        "message": entry.message,
    }


def _plain(text: str) -> str:
    """Return `text`, which may be any bytes that somebody sent, without what a terminal obeys."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)
