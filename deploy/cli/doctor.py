"""`runfold doctor`: what would keep runfold from working here."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from runfold.deploy.cli.terminal import OUT, Broker, DataDir, Format, Lake
from runfold.deploy.settings import Settings, load_settings
from runfold.deploy.worker_status import Readiness, ask_readiness, read_status
from runfold.schemas.errors import RunfoldError
from runfold.schemas.topic import all_topics

if TYPE_CHECKING:
    from runfold.sinks.object_path import ObjectPath

_NEEDED_DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `fix` says what to do where it is not well."""

    name: str
    well: bool
    found: str
    fix: str = ""


def doctor(
    data_dir: DataDir = None,
    broker: Broker = None,
    lake: Lake = None,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Check Python, Java, the disk, Kafka and the stack's parts. Exits 1 where one is not well."""
    settings = load_settings(data_dir=data_dir, broker=broker, lake=lake)
    findings = [finding for check in _CHECKS for finding in check(settings)]
    if output is Format.JSON:
        OUT.print_json(json.dumps([asdict(each) for each in findings]))
    else:
        for each in findings:
            mark = "[green]✔[/]" if each.well else "[red]✘[/]"
            OUT.print(f"{mark} {each.name:<12} {escape(each.found)}")
            if each.fix and not each.well:
                OUT.print(f"  [dim]{each.fix}[/]")
    if not all(each.well for each in findings):
        raise typer.Exit(1)


def _python(settings: Settings) -> Iterator[Finding]:
    del settings
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", sys.version_info >= (3, 11), version, "runfold needs Python 3.11")


def _java(settings: Settings) -> Iterator[Finding]:
    if settings.broker is not None:
        return
    from runfold.deploy.embedded.jars import default_cache_dir, ensure_jars
    from runfold.deploy.embedded.java import find_java

    try:
        yield Finding("Java", True, str(find_java()))
    except RunfoldError as error:
        yield Finding("Java", False, str(error), "pip install 'runfold[local]'")
    folder = default_cache_dir()
    if not folder.exists():
        yield Finding("Kafka's jars", True, f"not fetched yet; `runfold up` does, into {folder}")
        return
    try:
        yield Finding("Kafka's jars", True, f"{len(ensure_jars(folder))} jars in {folder}")
    except RunfoldError as error:
        yield Finding("Kafka's jars", False, str(error), f"delete {folder} and try again")


def _disk(settings: Settings) -> Iterator[Finding]:
    lake = settings.lake_dir
    if not isinstance(lake, Path):
        yield _bucket(lake)
    for name, folder in (("data", settings.home), ("lake", lake)):
        if not isinstance(folder, Path):
            continue
        existing = folder
        while not existing.exists():
            existing = existing.parent
        free = shutil.disk_usage(existing).free
        writable = os.access(existing, os.W_OK)
        found = f"{folder}: {free / 1024**3:.1f} GiB free" + ("" if writable else ", not writable")
        fix = "free some space, or use another folder with --data-dir or --lake"
        yield Finding(name, writable and free >= _NEEDED_DISK_BYTES, found, fix)


def _bucket(lake: ObjectPath) -> Finding:
    from runfold.sinks.lake_errors import lake_errors
    from runfold.sinks.storage import at

    try:
        with lake_errors(lake, "list"):
            at(lake).names()
    except RunfoldError as error:
        return Finding("lake", False, str(error), "are the AWS_* variables right?")
    return Finding("lake", True, f"{lake}: can be listed")


def _stack(settings: Settings) -> Iterator[Finding]:
    from runfold.deploy.stack import stack_over

    stack = stack_over(settings.home)
    found = f"runs, process {stack['pid']}" if stack else "not running; `runfold up` starts it"
    yield Finding("stack", True, found)
    if not stack and settings.broker is None:
        return
    from runfold.deploy.log_lag import log_bounds

    for topic in all_topics():
        try:
            bounds = asyncio.run(log_bounds(settings.bootstrap, topic.name))
        except RunfoldError as error:
            yield Finding("Kafka", False, str(error), "is the address right, and is Kafka running?")
            return
        count = len(bounds.next_offsets)
        found = f"{topic.name}: {count} partitions, {bounds.records:,} records"
        yield Finding("topic", count > 0, found, "`runfold up` creates the topics that are missing")


def _worker(settings: Settings) -> Iterator[Finding]:
    from runfold.deploy.stack import StackPlaces, stack_over

    if not stack_over(settings.home):
        return
    listen = (read_status(StackPlaces(settings.home).worker_status) or {}).get("listen")
    readiness = ask_readiness(listen) if listen else Readiness(("it has not started yet",))
    found = (
        f"ready, says http://{listen}/readyz" if readiness.ready else "; ".join(readiness.reasons)
    )
    yield Finding("worker", readiness.ready, found, "`runfold logs worker` has more")


def _collector(settings: Settings) -> Iterator[Finding]:
    from runfold.deploy.stack import StackPlaces, stack_over

    if not stack_over(settings.home):
        return
    status = read_status(StackPlaces(settings.home).collector_status)
    if status is None:
        readiness = Readiness(("it has not started yet",))
    elif status["health"] is None:
        return
    else:
        readiness = ask_readiness(status["health"])
    found = (
        f"ready, at {', '.join(status['addresses'])}"
        if status is not None and readiness.ready
        else "; ".join(readiness.reasons)
    )
    yield Finding("collector", readiness.ready, found, "`runfold logs collector` has more")


def _export(settings: Settings) -> Iterator[Finding]:
    from runfold.deploy.cli.export import LONGEST_SILENCE_SECONDS
    from runfold.deploy.stack import stack_over
    from runfold.sinks.postgres.connecting import shown
    from runfold.sinks.postgres.health import last_look

    url = settings.postgres_url
    if url is None or stack_over(settings.home).get("postgres") != shown(url):
        return  # the stack exports to another one, whose password is not known here
    fix = "`runfold logs export` and `runfold logs postgres` have more"
    try:
        seconds = last_look(url)
    except RunfoldError as error:
        yield Finding("export", False, str(error), fix)
        return
    found = "never looked at the lake" if seconds is None else f"looked {seconds:.0f} s ago"
    well = seconds is not None and seconds <= LONGEST_SILENCE_SECONDS
    yield Finding("export", well, found, fix)


_CHECKS: list[Callable[[Settings], Iterator[Finding]]] = [
    _python,
    _java,
    _disk,
    _stack,
    _worker,
    _collector,
    _export,
]
