"""`runfold collector`: take telemetry over HTTP and gRPC."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from runfold.deploy.cli.terminal import OUT, Broker, DataDir, Lake
from runfold.deploy.settings import load_settings


def collector(
    broker: Broker = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="Topic to write. \\[default: runfold.events]")
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help="Serve all HTTP APIs there; may be given several times; port 0 is a free one. "
            "\\[default: 127.0.0.1 at 8765, 4318, 3001 and 8123]",
        ),
    ] = None,
    grpc_listen: Annotated[
        str | None,
        typer.Option(
            "--grpc-listen",
            metavar="HOST:PORT",
            help="Take OTLP over gRPC there; '' is nowhere. \\[default: 127.0.0.1:4317]",
        ),
    ] = None,
    health_listen: Annotated[
        str | None,
        typer.Option(
            "--health-listen",
            metavar="HOST:PORT",
            help="Answer health checks there, as the OpenTelemetry Collector does; '' is nowhere. "
            "\\[default: 127.0.0.1:13133]",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="PEM", help="Certificate to show, with its chain."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="PEM", help="Its private key.")
    ] = None,
    require_keys: Annotated[
        bool | None,
        typer.Option(
            "--require-keys",
            help="Let in nobody without a key of `runfold keys`; always so where other machines "
            "reach an address.",
        ),
    ] = None,
    lake: Lake = None,
    when_kafka_is_down: Annotated[
        str | None,
        typer.Option(
            "--when-kafka-is-down",
            metavar="refuse|journal",
            help="Tell clients to come back, or keep events in a journal and ship them later. "
            "\\[default: refuse]",
        ),
    ] = None,
    data_dir: DataDir = None,
    status_file: Annotated[
        Path | None, typer.Option("--status-file", hidden=True, help="Where to write addresses.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Take telemetry of runfold's and other systems' clients, and put it into Kafka.

    A request is answered when Kafka has acknowledged its events; 503 says "send it again". SIGTERM
    or Ctrl-C finishes what was begun and leaves with 0; a second one ends at once.
    """
    from runfold.deploy.collecting import run_collector
    from runfold.deploy.log_output import configure_logging

    configure_logging(verbose=verbose)
    settings = load_settings(
        broker=broker,
        topic=topic,
        lake=lake,
        data_dir=data_dir,
        collector_listen=listen,
        collector_grpc_listen=grpc_listen,
        collector_health_listen=health_listen,
        collector_when_kafka_is_down=when_kafka_is_down,
        collector_require_keys=require_keys,
        collector_tls_cert=tls_cert,
        collector_tls_key=tls_key,
    )
    asyncio.run(run_collector(settings, status_file, say=OUT.print))
