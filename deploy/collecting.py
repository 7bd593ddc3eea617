"""Puts the collector together: the log, the APIs, where they are served."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from runfold.deploy.agent_framework import agent_framework_router, listening_at
from runfold.deploy.collector_keys import access_for
from runfold.deploy.late_costs import late_costs
from runfold.deploy.page.routes import page_routes
from runfold.deploy.runs_api import runs_api_settings, runs_follower
from runfold.deploy.settings import Settings
from runfold.producers.collector.app import build_app
from runfold.producers.collector.clickhouse import clickhouse_routes
from runfold.producers.collector.collector import Collector, CollectorSettings
from runfold.producers.collector.journaling_log import JournalingLog
from runfold.producers.collector.log_writer import LogWriter
from runfold.producers.collector.otlp.grpc_server import OtlpGrpc
from runfold.producers.collector.runs_api import runs_api_routes
from runfold.producers.collector.server import Address, Listening, Serving, serve
from runfold.producers.collector.tls import Certificate
from runfold.schemas.errors import ConfigurationError


async def run_collector(
    settings: Settings, status_file: Path | None, *, say: Callable[[str], None]
) -> None:
    """Serve until told to stop. Raises: ConfigurationError."""
    serving = _serving(settings)
    over_grpc = _grpc_address(settings)
    reachable = [*serving.addresses, *([over_grpc] if over_grpc else [])]
    async with access_for(settings, reachable) as access:
        how = CollectorSettings(content=settings.collector_content)
        log = _log(settings, how)
        collector = Collector(log, how, access)
        grpc = None
        if over_grpc is not None:
            grpc = OtlpGrpc(
                collector,
                over_grpc,
                serving.certificate,
                limits=serving.limits,
                drain=serving.drain,
            )
        listening = _announcing(settings, grpc, status_file, say)
        await serve(_app(settings, collector, grpc), collector, serving, on_listening=listening)


def _log(settings: Settings, how: CollectorSettings) -> LogWriter:
    if settings.collector_when_kafka_is_down == "refuse":
        return LogWriter(settings.bootstrap, topic=settings.topic, patience=how.patience)
    folder = settings.collector_journal_dir
    return JournalingLog(settings.bootstrap, folder, topic=settings.topic, patience=how.patience)


def _app(settings: Settings, collector: Collector, grpc: OtlpGrpc | None) -> FastAPI:
    runs = runs_api_settings(settings)
    follower = runs_follower(settings, collector, runs)
    first = [
        page_routes(collector, settings.lake_dir),
        runs_api_routes(collector, follower, runs),
        clickhouse_routes(collector),
        agent_framework_router(settings, collector),
    ]
    costs = late_costs(settings, collector)
    alongside: list[AbstractAsyncContextManager[Any]] = [follower]
    alongside += [each for each in (grpc, costs) if each is not None]
    return build_app(collector, first, alongside=alongside)


def _announcing(
    settings: Settings,
    grpc: OtlpGrpc | None,
    status_file: Path | None,
    say: Callable[[str], None],
) -> Callable[[Listening], None]:
    def listening(found: Listening) -> None:
        addresses = [str(each) for each in found.addresses]
        over_grpc = "" if grpc is None else f", by gRPC at {grpc.address}"
        say(f"collecting at {', '.join(addresses)}{over_grpc} for Kafka at {settings.bootstrap}")
        if status_file is not None:
            health = None if found.health is None else str(found.health)
            described = {"pid": os.getpid(), "addresses": addresses, "health": health}
            described["grpc"] = None if grpc is None else str(grpc.address)
            temporary = status_file.with_suffix(".tmp")
            temporary.write_text(json.dumps(described), "utf-8")
            temporary.replace(status_file)

    return listening


def _grpc_address(settings: Settings) -> Address | None:
    where = settings.collector_grpc_listen
    return Address.parse(where, "collector_grpc_listen") if where else None


def _serving(settings: Settings) -> Serving:
    health = settings.collector_health_listen
    return Serving(
        [Address.parse(each, "collector_listen") for each in listening_at(settings)],
        Address.parse(health, "collector_health_listen") if health else None,
        _certificate(settings),
    )


def _certificate(settings: Settings) -> Certificate | None:
    certificate, key = settings.collector_tls_cert, settings.collector_tls_key
    if (certificate is None) != (key is None):
        raise ConfigurationError("--tls-cert and --tls-key belong together; only one was given")
    return None if certificate is None or key is None else Certificate(certificate, key)
