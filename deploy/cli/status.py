"""`runfold status` and `runfold logs`."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from runfold.deploy.cli.terminal import OUT, DataDir, Format, fail
from runfold.deploy.settings import Settings, load_settings
from runfold.deploy.worker_status import ask_readiness, read_status
from runfold.schemas.errors import BrokerUnavailable
from runfold.schemas.topic import EVENTS

_FOLLOW_SECONDS = 0.2


def status(
    data_dir: DataDir = None,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Show what runs, how much is in the log, and how far the lake is behind. Exits 1 when down."""
    settings = load_settings(data_dir=data_dir)
    seen = _look(settings)
    if output is Format.JSON:
        OUT.print_json(json.dumps(seen))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in seen.items():
            table.add_row(f"[dim]{name.replace('_', ' ')}[/]", _shown(name, value))
        OUT.print(table)
    if not seen["stack"]:
        raise typer.Exit(1)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        yes, no = ("yes", "no") if name.endswith("_ready") else ("up", "down")
        return f"[green]{yes}[/]" if value else f"[red]{no}[/]"
    if isinstance(value, list):
        return "; ".join(map(escape, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _look(settings: Settings) -> dict[str, Any]:
    from runfold.deploy.log_lag import log_bounds
    from runfold.deploy.stack import StackPlaces, stack_over

    stack = stack_over(settings.home)
    seen: dict[str, Any] = {"stack": bool(stack), "data_dir": str(settings.home)}
    if stack:
        seen["pid"] = str(stack["pid"])
        seen["up_for"] = f"{time.time() - stack['started_at']:.0f} s"
    if "page" in stack:
        seen["page"] = stack["page"]
    seen["broker"] = settings.bootstrap
    seen["lake"] = str(settings.lake_dir)
    if "postgres" in stack:
        seen["postgres"] = stack["postgres"]
    worker = read_status(StackPlaces(settings.home).worker_status) if stack else None
    if worker is not None:
        for name in ("runs_held", "events", "duplicates", "dead_letters"):
            seen[f"worker_{name}"] = worker[name]
        seen |= _readiness(worker["listen"])
    if stack:
        seen |= _collector(read_status(StackPlaces(settings.home).collector_status))
    try:
        bounds = asyncio.run(log_bounds(settings.bootstrap, EVENTS.name))
    except BrokerUnavailable as error:
        return seen | {"kafka": False, "kafka_says": str(error)}
    seen |= {"kafka": True, "records_in_log": bounds.records}
    if worker is not None:
        durable = {int(each): offset for each, offset in worker["durable_offsets"].items()}
        seen["lag_records"] = bounds.lag(durable)
    return seen


def _readiness(listen: str | None) -> dict[str, Any]:
    if listen is None:
        return {}
    readiness = ask_readiness(listen)
    seen = {"worker_listens_at": listen, "worker_ready": readiness.ready}
    return seen if readiness.ready else seen | {"worker_not_ready": list(readiness.reasons)}


def _collector(status: dict[str, Any] | None) -> dict[str, Any]:
    if status is None:
        return {}
    seen: dict[str, Any] = {"collector_listens_at": status["addresses"]}
    if status["grpc"] is not None:
        seen["collector_grpc_at"] = status["grpc"]
    if status["health"] is None:
        return seen
    readiness = ask_readiness(status["health"])
    seen["collector_ready"] = readiness.ready
    return seen if readiness.ready else seen | {"collector_not_ready": list(readiness.reasons)}


class LogOf(StrEnum):
    """Whose log."""

    WORKER = "worker"
    COLLECTOR = "collector"
    KAFKA = "kafka"
    EXPORT = "export"
    POSTGRES = "postgres"


def logs(
    which: Annotated[
        LogOf | None, typer.Argument(help="Whose log.", show_default="all, each line with its name")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Print the logs of the worker, the collector, Kafka, the export and PostgreSQL, or of one."""
    from runfold.deploy.stack import StackPlaces

    places = StackPlaces(load_settings(data_dir=data_dir).home)
    paths = {
        LogOf.WORKER: places.worker_log,
        LogOf.COLLECTOR: places.collector_log,
        LogOf.KAFKA: places.kafka_log,
        LogOf.EXPORT: places.export_log,
        LogOf.POSTGRES: places.postgres / "postgres.log",
    }
    wanted = {
        f"{part:<10} " if which is None else "": path
        for part, path in paths.items()
        if which in (None, part) and path.exists()
    }
    if not wanted:
        missing = paths[which] if which else places.worker_log.parent
        raise fail(f"there is no log at {missing}", hint="`runfold up` starts the stack")
    with suppress(KeyboardInterrupt):
        _print_logs(wanted, lines, follow=follow)


def _print_logs(paths: Mapping[str, Path], lines: int, *, follow: bool) -> None:
    """Print the last lines of each file behind its prefix, then what comes."""
    with ExitStack() as files:
        streams = {
            prefix: files.enter_context(path.open(encoding="utf-8", errors="replace"))
            for prefix, path in paths.items()
        }
        for prefix, stream in streams.items():
            for line in deque(stream, maxlen=lines):
                OUT.out(prefix + line.rstrip("\n"))
        while follow:
            for prefix, stream in streams.items():
                for line in stream:
                    OUT.out(prefix + line.rstrip("\n"))
            time.sleep(_FOLLOW_SECONDS)
