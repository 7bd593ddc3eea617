"""Puts the collector together: the log, the APIs, where they are served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from runfold.deploy.page.routes import page_routes
from runfold.deploy.settings import Settings
from runfold.producers.collector.app import build_app
from runfold.producers.collector.collector import Collector, CollectorSettings
from runfold.producers.collector.log_writer import LogWriter
from runfold.producers.collector.server import Address, serve


async def run_collector(
    settings: Settings, status_file: Path | None, *, say: Callable[[str], None]
) -> None:
    """Serve until told to stop. Raises: ConfigurationError."""
    how = CollectorSettings()
    collector = Collector(
        LogWriter(settings.bootstrap, topic=settings.topic, patience=how.patience), how
    )
    addresses = [Address.parse(each, "collector_listen") for each in settings.collector_listen]

    def listening(found: list[Address]) -> None:
        say(f"collecting at {', '.join(map(str, found))} for Kafka at {settings.bootstrap}")
        if status_file is not None:
            temporary = status_file.with_suffix(".tmp")
            temporary.write_text(json.dumps({"addresses": [str(each) for each in found]}), "utf-8")
            temporary.replace(status_file)

    page = page_routes(collector, settings.lake_dir)
    await serve(build_app(collector, [page]), addresses, on_listening=listening)
