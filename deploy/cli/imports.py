"""`runfold import`: what other tools have recorded, as events."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from runfold.deploy.cli.figures import print_figures
from runfold.deploy.cli.import_local_telemetry import local_telemetry
from runfold.deploy.cli.import_publishing import (
    find_stored_events,
    import_progress,
    publish_events,
    warn_of_bad,
)
from runfold.deploy.cli.terminal import EXIT_FAILED, Broker, DataDir, Format, Lake
from runfold.deploy.settings import load_settings
from runfold.producers.importers.claude_code import (
    ClaudeCodeImport,
    ImportOptions,
    ImportReport,
    find_transcripts,
    nothing_stored,
)

_PASSES = 2

import_app = typer.Typer(
    name="import", no_args_is_help=True, help="Import what other tools have recorded."
)


@import_app.callback()
def _importers() -> None:
    """Import what other tools have recorded."""


import_app.command("local-telemetry")(local_telemetry)


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
    with import_progress() as progress:
        task = progress.add_task("reading", total=_PASSES * sum(each.size_bytes for each in files))

        def on_bytes(count: int) -> None:
            progress.advance(task, count)

        stored = asyncio.run(find_stored_events(settings, needed=not dry_run))
        reading = ClaudeCodeImport(
            files, options, stored=stored or nothing_stored, on_bytes=on_bytes
        )
        if dry_run:
            for _ in reading.events():
                pass
        else:
            asyncio.run(publish_events(reading.events(), settings, stored, progress))
    warn_of_bad(reading.report.bad_lines, "lines")
    print_figures(_figures(reading.report, dry_run=dry_run), output, title="claude code")
    if strict and reading.report.bad_lines:
        raise typer.Exit(EXIT_FAILED)


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
