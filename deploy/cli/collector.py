"""`runfold collector`: take telemetry over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from runfold.deploy.cli.terminal import OUT, Broker, DataDir
from runfold.deploy.settings import load_settings


def collector(
    broker: Broker = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help="Serve all HTTP APIs there; may be given several times; port 0 is a free one. "
            "[default: 127.0.0.1 at 8765, 4318, 3001 and 8123]",
        ),
    ] = None,
    data_dir: DataDir = None,
    status_file: Annotated[
        Path | None, typer.Option("--status-file", hidden=True, help="Where to write addresses.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Take telemetry of runfold's and other systems' clients, and put it into Kafka.

    A request is answered when Kafka has acknowledged its events. SIGTERM or Ctrl-C finishes what
    was begun and leaves.
    """
    from runfold.deploy.collecting import run_collector
    from runfold.deploy.log_output import configure_logging

    configure_logging(verbose=verbose)
    settings = load_settings(broker=broker, data_dir=data_dir, collector_listen=listen)
    asyncio.run(run_collector(settings, status_file, say=OUT.print))
