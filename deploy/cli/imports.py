"""`runfold import`: what other tools have recorded, as events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from runfold.deploy.cli.figures import print_figures
from runfold.deploy.cli.terminal import ERR, EXIT_FAILED, Broker, DataDir, Format, Lake
from runfold.deploy.settings import Settings, load_settings
from runfold.producers.importers.claude_code import (
    ClaudeCodeImport,
    ImportOptions,
    ImportReport,
    StoredLookup,
    find_transcripts,
    nothing_stored,
)
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError, EventRejected

if TYPE_CHECKING:
    from runfold.deploy.stored_events import StoredEvents

_SHOWN_BAD_LINES = 200
_PASSES = 2
_BREATHE_EVERY = 256
_PATIENCE = timedelta(seconds=15)

import_app = typer.Typer(
    name="import", no_args_is_help=True, help="Import what other tools have recorded."
)


@import_app.callback()
def _importers() -> None:
    """Import what other tools have recorded."""


@import_app.command("claude-code")
def claude_code(
    path: Annotated[
        Path, typer.Argument(help="A folder of transcripts, or one file.", show_default=True)
    ] = Path("~/.claude/projects"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and count, publish nothing.")
    ] = False,
    no_content: Annotated[
        bool, typer.Option("--no-content", help="Leave out titles, tool inputs and error texts.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a line was malformed.")
    ] = False,
    idle_minutes: Annotated[
        float,
        typer.Option("--idle-minutes", min=1, help="A session silent for so long has ended."),
    ] = 30,
    output: Annotated[Format, typer.Option("--format", help="How to print the counts.")] = (
        Format.TABLE
    ),
    broker: Broker = None,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Import the session transcripts of Claude Code.

    Safe to repeat: what is stored already is passed over, and what forks and resumed sessions
    repeat counts once. A malformed line is reported and the rest is imported.
    """
    settings = load_settings(broker=broker, lake=lake, data_dir=data_dir)
    files = find_transcripts(path.expanduser())
    options = ImportOptions(
        now=datetime.now(UTC),
        idle=timedelta(minutes=idle_minutes),
        content=not no_content,
    )
    with _progress() as progress:
        task = progress.add_task("reading", total=_PASSES * sum(each.size_bytes for each in files))

        def on_bytes(count: int) -> None:
            progress.advance(task, count)

        stored, reachable = asyncio.run(_stored_events(settings, needed=not dry_run))
        reading = ClaudeCodeImport(files, options, stored=stored, on_bytes=on_bytes)
        if dry_run:
            for _ in reading.events():
                pass
        else:
            asyncio.run(_publish(reading, settings.bootstrap, reachable, progress))
    _report_bad_lines(reading.report)
    print_figures(_figures(reading.report, dry_run=dry_run), output, title="claude code")
    if strict and reading.report.bad_lines:
        raise typer.Exit(EXIT_FAILED)


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=ERR, transient=True)


async def _stored_events(
    settings: Settings, *, needed: bool
) -> tuple[StoredLookup, StoredEvents | None]:
    """Return how to ask the lake, which holds nothing of a log that nobody can be asked for."""
    from runfold.deploy.stored_events import StoredEvents

    try:
        if needed:
            async with KafkaPublisher(settings.bootstrap):  # makes the topic where it is missing
                pass
        stored = await StoredEvents.of_log(settings.lake_dir, settings.bootstrap)
    except (BrokerUnavailable, ConfigurationError):
        if needed:
            raise
        return nothing_stored, None
    return stored, stored if settings.lake_dir.is_dir() else None


async def _publish(
    reading: ClaudeCodeImport, bootstrap: str, stored: StoredEvents | None, progress: Progress
) -> None:
    last_of_run: dict[str, str] = {}
    async with KafkaPublisher(bootstrap) as publisher:
        for number, event in enumerate(reading.events()):
            try:
                await publisher.publish(event)
            except EventRejected as error:
                ERR.print(f"{event['event_id']}: left out, {error}", markup=False)
                continue
            last_of_run[event["run_id"]] = event["event_id"]
            if number % _BREATHE_EVERY == 0:
                await asyncio.sleep(0)  # the publisher sends in the background
    if stored is not None and last_of_run:
        await _wait_until_folded(last_of_run.values(), stored, progress)


async def _wait_until_folded(
    event_ids: Iterable[str], stored: StoredEvents, progress: Progress
) -> None:
    """Wait for the worker, so that the next command sees what was imported."""
    wanted = list(event_ids)
    task = progress.add_task("folding", total=len(wanted))
    missing = await stored.wait_for(
        wanted,
        patience=_PATIENCE,
        on_stored=lambda count: progress.update(task, completed=count),
    )
    if missing:
        ERR.print(
            f"[yellow]warning:[/] {missing} of {len(wanted)} runs are published but not yet in the "
            "lake; is a worker running? See: runfold status"
        )


def _report_bad_lines(report: ImportReport) -> None:
    bad = report.bad_lines
    for each in bad[:_SHOWN_BAD_LINES]:
        ERR.print(str(each), markup=False)
    if len(bad) > _SHOWN_BAD_LINES:
        ERR.print(f"… and {len(bad) - _SHOWN_BAD_LINES:,} more malformed lines")
    if bad:
        ERR.print(f"[yellow]warning:[/] {len(bad):,} malformed lines were left out")


def _figures(report: ImportReport, *, dry_run: bool) -> dict[str, Any]:
    return {
        "files": report.files,
        "lines": report.lines,
        "sessions": report.sessions,
        "subagents": report.subagents,
        "turns": report.turns,
        "tool_calls": report.tool_calls,
        "model_calls": report.model_calls,
        "still_being_written": report.pending_calls,
        "tokens": dict(sorted(report.tokens.items())),
        "cost_usd": round(report.cost_usd, 6),
        "events_to_publish" if dry_run else "events_published": report.events,
        "already_known": report.known,
        "malformed": len(report.bad_lines),
        "other_lines": dict(sorted(report.other_lines.items())),
        "malformed_lines": [
            {"file": str(each.path), "line": each.number, "reason": each.reason}
            for each in report.bad_lines
        ],
    }
