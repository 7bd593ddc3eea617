"""`runfold import local-telemetry`: what the Local Telemetry client and its service have stored."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from runfold.deploy.cli.figures import print_figures
from runfold.deploy.cli.import_publishing import (
    find_stored_events,
    import_progress,
    publish_events,
    warn_of_bad,
)
from runfold.deploy.cli.terminal import EXIT_FAILED, Broker, DataDir, Format, Lake
from runfold.deploy.settings import load_settings
from runfold.producers.importers.local_telemetry import (
    ImportReport,
    LocalTelemetryImport,
    Start,
    find_sources,
    nothing_started,
    nothing_stored,
)

if TYPE_CHECKING:
    from runfold.deploy.stored_events import StoredEvents


def local_telemetry(
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder with SQLite, NDJSON and buffer files, or one of these.",
            show_default=False,
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and count, publish nothing.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a record was malformed.")
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print the counts.")] = (
        Format.TABLE
    ),
    broker: Broker = None,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Import the runs of the Local Telemetry client and its service.

    Reads telemetry.sqlite of any version, events_YYYYMMDD.ndjson, and the buffer files
    .jsonl.active, .ready and .synced; a folder is searched for them. The service may be running.

    Safe to repeat: what is stored already is passed over, and a run that is in several files is
    one run. A malformed record is reported and the rest is imported.
    """
    settings = load_settings(broker=broker, lake=lake, data_dir=data_dir)
    sources = find_sources(path.expanduser())
    with import_progress() as progress:
        total = sum((1 if each.is_database else 2) * each.size_bytes for each in sources)
        task = progress.add_task("reading", total=total)

        def on_bytes(count: int) -> None:
            progress.advance(task, count)

        stored = asyncio.run(find_stored_events(settings, needed=not dry_run))

        reading = LocalTelemetryImport(
            sources,
            stored=stored or nothing_stored,
            starts=partial(_starts, stored) if stored else nothing_started,
            on_bytes=on_bytes,
        )
        if dry_run:
            for _ in reading.events():
                pass
        else:
            asyncio.run(publish_events(reading.events(), settings, stored, progress))
    warn_of_bad(reading.report.bad_records, "records")
    print_figures(_figures(reading.report, dry_run=dry_run), output, title="local telemetry")
    if strict and reading.report.bad_records:
        raise typer.Exit(EXIT_FAILED)


def _starts(stored: StoredEvents, run_ids: Collection[str]) -> dict[str, Start]:
    """Return how runs of the lake were started, and which old run each says that it is."""
    return {
        run_id: Start(event_id, orjson.loads(attributes or "{}").get("event_id"))
        for run_id, (event_id, attributes) in stored.starts(run_ids).items()
    }


def _figures(report: ImportReport, *, dry_run: bool) -> dict[str, Any]:
    return {
        "files": report.files,
        "records": report.records,
        "runs": report.runs,
        "ended": dict(sorted(report.statuses.items())),
        "log_events": report.log_events,
        "metrics": report.metrics,
        "commits": report.commits,
        "events_to_publish" if dry_run else "events_published": report.events,
        "already_known": report.known,
        "recorded_by_runfold": report.recorded,
        "malformed": len(report.bad_records),
        "malformed_records": [
            {"file": str(each.path), "place": each.place, "reason": each.reason}
            for each in report.bad_records
        ],
    }
