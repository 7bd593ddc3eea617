"""`runfold ship`: bring to the log what processes left behind that are gone."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from runfold.deploy.cli.figures import print_figures
from runfold.deploy.cli.terminal import ERR, EXIT_FAILED, DataDir, Format
from runfold.deploy.settings import load_settings
from runfold.producers.client_settings import find_endpoint, find_journal_dir, without_login
from runfold.producers.journal_folder import journals_below
from runfold.producers.journal_publisher import JournalPublisher
from runfold.producers.orphans import ship_orphan, waiting_orphans
from runfold.producers.publisher import Publisher, is_url, open_publisher
from runfold.producers.shipping import ShippedCounts
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError, RegistryUnavailable

_PATIENCE = timedelta(seconds=15)
_COLUMNS = (TextColumn("shipping to {task.description}"), BarColumn(), MofNCompleteColumn())

_Journal = Annotated[
    Path | None,
    typer.Option(
        "--journal", help="Folder of journals. \\[default: RUNFOLD_JOURNAL, else DATA_DIR/journal]"
    ),
]
_Address = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="HOST:PORT|URL",
        help="Kafka, or a collector's URL. \\[default: where each process would have sent it]",
    ),
]


def ship(
    journal: _Journal = None,
    broker: _Address = None,
    output: Annotated[Format, typer.Option("--format", help="How to print the counts.")] = (
        Format.TABLE
    ),
    data_dir: DataDir = None,
) -> None:
    """Ship the journals of agents that are gone: killed, rebooted, or ended while offline.

    Every running agent does the same for those before it. Journals of running agents are left to
    them. Safe to repeat and to run twice at once. Exits with 1 where something is left.
    """
    settings = load_settings(broker=broker, data_dir=data_dir)
    folder = _folder(journal, settings.home if data_dir is not None else None)
    default = find_endpoint() or settings.bootstrap
    by_address: dict[str, list[Path]] = defaultdict(list)
    for orphan, owner in waiting_orphans(folder).items():
        by_address[broker or (owner and owner.broker) or default].append(orphan)
    counts = ShippedCounts()
    with Progress(*_COLUMNS, console=ERR, transient=True) as progress:
        for address, orphans in by_address.items():
            publisher = _publisher_to(address, settings.schema_registry)
            task = progress.add_task(without_login(address) or "", total=len(orphans))
            asyncio.run(_ship(orphans, publisher, counts, partial(progress.advance, task)))
    left = waiting_orphans(folder)
    claimed = [each for orphans in by_address.values() for each in orphans]
    figures = {
        "journals_shipped": sum(not each.exists() for each in claimed),
        "events_shipped": counts.shipped,
        "events_rejected": counts.rejected,
        "torn_lines": counts.torn,
        "journals_left": len(left),
        "journals_of_running_agents": len(journals_below(folder)) - len(left),
    }
    print_figures(figures, output, title=f"journals in {folder}")
    if left:
        raise typer.Exit(EXIT_FAILED)


def _folder(journal: Path | None, home: Path | None) -> Path:
    if journal is not None and not journal.expanduser().is_dir():
        raise ConfigurationError(f"--journal: there is no folder {journal}")
    if journal is None and home is not None:
        return home / "journal"
    return find_journal_dir(journal)


def _publisher_to(
    address: str, schema_registry: str | None
) -> AbstractAsyncContextManager[Publisher]:
    """Return what takes all that a journal holds; a collector's may have dead letters too."""
    if is_url(address):
        return open_publisher(address, patience=_PATIENCE)
    return JournalPublisher(address, patience=_PATIENCE, schema_registry=schema_registry)


async def _ship(
    orphans: list[Path],
    publisher: AbstractAsyncContextManager[Publisher],
    counts: ShippedCounts,
    on_shipped: Callable[[], None],
) -> None:
    """Ship what goes to one address; what fails is told and stays where it is."""
    try:
        async with publisher as opened:
            for folder in orphans:
                try:
                    await ship_orphan(folder, opened, counts)
                except OSError as error:
                    _warn(f"{folder.name} cannot be read: {error}")
                on_shipped()
    except (BrokerUnavailable, RegistryUnavailable) as error:
        _warn(str(error))


def _warn(what: str) -> None:
    ERR.print(f"[yellow]warning:[/] {escape(what)}")
