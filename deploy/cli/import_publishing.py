"""What all imports share: progress, what the lake holds already, publishing, and what was bad."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from runfold.deploy.cli.terminal import ERR
from runfold.deploy.settings import Settings
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError, EventRejected
from runfold.sinks.storage import at

if TYPE_CHECKING:
    from runfold.deploy.stored_events import StoredEvents

_SHOWN_BAD = 200
_BREATHE_EVERY = 256
_RUNS_AWAITED = 100_000
_PATIENCE = timedelta(seconds=15)


def import_progress() -> Progress:
    """Return a bar that counts bytes, on stderr and gone when it is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=ERR, transient=True)


async def find_stored_events(settings: Settings, *, needed: bool) -> StoredEvents | None:
    """Return how to ask the lake, None where nobody can be asked for its log.

    Shape: an import needs the log; a dry run does without. Raises: BrokerUnavailable.
    """
    from runfold.deploy.stored_events import StoredEvents

    try:
        if needed:
            async with KafkaPublisher(settings.bootstrap):  # makes the topic where it is missing
                pass
        return await StoredEvents.of_log(settings.lake_dir, settings.bootstrap)
    except (BrokerUnavailable, ConfigurationError):
        if needed:
            raise
        return None


async def publish_events(
    events: Iterable[dict[str, Any]],
    settings: Settings,
    stored: StoredEvents | None,
    progress: Progress,
) -> None:
    """Put events into the log and wait until the worker, where there is one, has folded them."""
    last_of_run: OrderedDict[str, str] = OrderedDict()
    async with KafkaPublisher(settings.bootstrap) as publisher:
        for number, event in enumerate(events):
            try:
                await publisher.publish(event)
            except EventRejected as error:
                ERR.print(f"{event['event_id']}: left out, {error}", markup=False)
                continue
            last_of_run[event["run_id"]] = event["event_id"]
            if len(last_of_run) > _RUNS_AWAITED:
                last_of_run.popitem(last=False)
            if number % _BREATHE_EVERY == 0:
                await asyncio.sleep(0)  # the publisher sends in the background
    if stored is not None and last_of_run and at(settings.lake_dir).names():
        await _wait_until_folded(last_of_run.values(), stored, progress)


async def _wait_until_folded(
    event_ids: Iterable[str], stored: StoredEvents, progress: Progress
) -> None:
    """Wait for the worker, so that the next command sees what was imported."""
    wanted = list(event_ids)
    task = progress.add_task("folding", total=len(wanted))
    missing = await stored.wait_for(
        wanted,
        patience=_PATIENCE,
        on_stored=lambda count: progress.update(task, completed=count),
    )
    if missing:
        ERR.print(
            f"[yellow]warning:[/] {missing} of {len(wanted)} runs are published but not yet in the "
            "lake; is a worker running? See: runfold status"
        )


def warn_of_bad(bad: Sequence[object], what: str) -> None:
    """Name what was left out, as far as it can be read."""
    for each in bad[:_SHOWN_BAD]:
        ERR.print(str(each), markup=False)
    if len(bad) > _SHOWN_BAD:
        ERR.print(f"… and {len(bad) - _SHOWN_BAD:,} more malformed {what}")
    if bad:
        ERR.print(f"[yellow]warning:[/] {len(bad):,} malformed {what} were left out")
