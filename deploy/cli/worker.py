"""`runfold worker`: fold the log into the lake."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runfold.deploy.cli.terminal import Broker, DataDir, DeadLetterCap, Lake
from runfold.deploy.settings import Settings, load_settings
from runfold.schemas.errors import BrokerUnavailable, RunfoldError

if TYPE_CHECKING:
    from runfold.deploy.worker_status import StatusFile
    from runfold.processors.monitor import WorkerMonitor

_BROKER_PAUSE_SECONDS = 1.0


def worker(
    broker: Broker = None,
    lake: Lake = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", help="Workers of one group share the partitions. \\[default: runfold]"
        ),
    ] = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="Topic to read. \\[default: runfold.events]")
    ] = None,
    schema_registry: Annotated[
        str | None,
        typer.Option("--schema-registry", metavar="URL", help="Where Confluent framing is used."),
    ] = None,
    flush_interval: Annotated[
        float | None,
        typer.Option(
            "--flush-interval", metavar="SECONDS", help="Between two writes. \\[default: 2]"
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help="Serve /healthz, /readyz and /metrics there; port 0 is a free one.",
        ),
    ] = None,
    dead_letter_cap: DeadLetterCap = None,
    data_dir: DataDir = None,
    status_file: Annotated[
        Path | None, typer.Option("--status-file", hidden=True, help="Where to write progress.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every flush.")] = False,
) -> None:
    """Run one worker in the foreground: fold its share of the log into the lake.

    Start as many as there are cores to use; they share the partitions, and each may be killed at
    any moment. SIGTERM or Ctrl-C flushes and leaves.
    """
    from runfold.deploy.log_output import configure_logging
    from runfold.deploy.worker_http import serving_worker
    from runfold.deploy.worker_status import StatusFile
    from runfold.processors.monitor import WorkerMonitor, stall_window

    settings = load_settings(
        broker=broker,
        lake=lake,
        group=group,
        topic=topic,
        schema_registry=schema_registry,
        flush_interval_seconds=flush_interval,
        worker_listen=listen,
        dead_letter_cap=dead_letter_cap,
        data_dir=data_dir,
    )
    configure_logging(verbose=verbose)
    os.environ["RUST_BACKTRACE"] = "0"  # polars speaks of each damaged record: one line is enough
    shortest = timedelta(seconds=settings.stall_window_seconds)
    monitor = WorkerMonitor(stall_window(settings.flush_interval, shortest))
    with ExitStack() as serving:
        address = None
        if settings.worker_listen is not None:
            address = serving.enter_context(serving_worker(settings.worker_listen, monitor))
        _wait_for_broker(settings.bootstrap, monitor)
        status = StatusFile(status_file, address) if status_file else None
        try:
            _run(settings, monitor, status)
        except RunfoldError as error:
            if error.disposition != "retry":
                raise
            _start_over(error)


def _run(settings: Settings, monitor: WorkerMonitor, status: StatusFile | None) -> None:
    from runfold.processors.partitions import FlushPolicy
    from runfold.processors.worker import WorkerSettings, run_worker
    from runfold.sinks.lake import LocalLake

    lake = LocalLake(settings.lake_dir)
    run_worker(
        WorkerSettings(
            bootstrap=settings.bootstrap,
            group=settings.group,
            topic=settings.topic,
            schema_registry=settings.schema_registry,
            fold=lake.states.fold,
            flush=FlushPolicy(interval=settings.flush_interval),
            dead_letter_cap=settings.dead_letter_cap,
        ),
        lake,
        monitor=monitor,
        on_progress=status,
    )


def _start_over(error: RunfoldError) -> None:
    """Be a new worker in the same process: the lake says where to go on."""
    import structlog

    structlog.get_logger(__name__).warning("starting over", code=error.code, error=str(error))
    time.sleep(_BROKER_PAUSE_SECONDS)
    os.execv(sys.executable, sys.orig_argv)


def _wait_for_broker(bootstrap: str, monitor: WorkerMonitor) -> None:
    """Return when Kafka answers and the topics are there, however long that takes."""
    import structlog

    from runfold.producers.topic_setup import ensure_topics

    log = structlog.get_logger(__name__)
    while True:
        try:
            asyncio.run(ensure_topics(bootstrap))
        except BrokerUnavailable as error:
            log.warning("waiting for Kafka", broker=bootstrap, error=str(error))
            monitor.waits_to_start(error)
            time.sleep(_BROKER_PAUSE_SECONDS)
        else:
            return
