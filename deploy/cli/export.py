"""`runfold export`: the lake as tables of PostgreSQL."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from runfold.deploy.cli.figures import print_figures
from runfold.deploy.cli.terminal import ERR, Broker, DataDir, Format, Lake, Postgres, fail
from runfold.deploy.settings import Settings, load_settings
from runfold.schemas.errors import ConfigurationError, RunfoldError

if TYPE_CHECKING:
    from runfold.sinks.postgres import ExportCounts

_PAUSE_SECONDS = 1.0
_RETRY_SECONDS = 2.0
LONGEST_SILENCE_SECONDS = 60.0
"""An export that has not looked at the lake for longer does not run, or hangs."""


def export(
    postgres: Postgres = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on as the lake grows, until Ctrl-C.")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Export all again; dashboards read the old rows until it is done.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Export nothing: exit with 1 where nobody looked for a minute."
        ),
    ] = False,
    output: Annotated[
        Format, typer.Option("--format", "-f", help="How to print what was done.")
    ] = Format.TABLE,
    lake: Lake = None,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """Export what is new in the lake to PostgreSQL, for Grafana and for SQL from anywhere.

    Runs, recent events, and figures by hour and day; late events correct past figures. Safe to
    interrupt, to repeat, and to run more than once at a time. `runfold up` does it all the time.
    """
    from runfold.deploy.log_output import configure_logging

    settings = load_settings(postgres=postgres, lake=lake, broker=broker, data_dir=data_dir)
    url = settings.postgres_url
    if url is None:
        raise ConfigurationError(
            "no PostgreSQL to export to: start the stack by `runfold up`, or say --postgres URL"
        )
    configure_logging(quiet=not follow)
    if check:
        _check(url)
        return
    started = time.monotonic()
    if follow:
        _follow(settings, url, rebuild=rebuild)
        return
    done = _export(settings, url, rebuild=rebuild)
    print_figures(
        {
            "log records": done.records,
            "rows": dict(done.rows),
            "seconds": round(time.monotonic() - started, 1),
            **_freshness(done),
        },
        output,
        title="exported" + (f" anew: {done.reason}" if done.reason else ""),
    )


def _check(url: str) -> None:
    from runfold.sinks.postgres.health import last_look

    seconds = last_look(url)
    if seconds is None or seconds > LONGEST_SILENCE_SECONDS:
        when = "never" if seconds is None else f"{seconds:.0f} s ago"
        raise fail(f"an export looked at the lake {when}; `runfold export --follow` does it always")
    print_figures({"seconds since the last look": round(seconds, 1)}, Format.TABLE, title="export")


def _export(settings: Settings, url: str, *, rebuild: bool) -> ExportCounts:
    from runfold.sinks.postgres import open_exporter

    with ERR.status("[dim]exporting …[/]") as status:
        total = 0

        def on_step(step: ExportCounts) -> None:
            nonlocal total
            total += step.records
            status.update(f"[dim]exporting … {total:,} records[/]")

        with open_exporter(settings.lake_dir, url) as exporter:
            return exporter.rebuild(on_step) if rebuild else exporter.catch_up(on_step)


def _follow(settings: Settings, url: str, *, rebuild: bool) -> None:
    """Export until Ctrl-C or SIGTERM; wait where the lake or PostgreSQL cannot be asked."""
    import structlog

    from runfold.deploy.log_ends import watched_log_ends
    from runfold.sinks.postgres import open_exporter

    log = structlog.get_logger(__name__)
    with _stopping() as stop, watched_log_ends(settings.bootstrap, settings.topic) as log_ends:
        while not stop.is_set():
            try:
                with open_exporter(settings.lake_dir, url, log_ends=log_ends) as exporter:
                    if rebuild:
                        _report(exporter.rebuild())
                        rebuild = False
                    while not stop.is_set():
                        _report(exporter.catch_up())
                        stop.wait(_PAUSE_SECONDS)
            except RunfoldError as error:
                if error.disposition != "retry":
                    raise
                log.warning("export waits", code=error.code, error=str(error))
                stop.wait(_RETRY_SECONDS)


def _report(done: ExportCounts) -> None:
    import structlog

    if done.changed:
        structlog.get_logger(__name__).info(
            "exported", records=done.records, rows=done.rows.total(), **_freshness(done)
        )
    if done.reason is not None:
        structlog.get_logger(__name__).warning("exported anew", reason=done.reason)


def _freshness(done: ExportCounts) -> dict[str, float]:
    """Return how old the newest event that was exported is, by the log's clock."""
    if done.exported_recorded_at is None:
        return {}
    age = datetime.now(UTC) - done.exported_recorded_at
    return {"freshness seconds": round(age.total_seconds(), 1)}


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set: a step that has begun is finished."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    yield stop
