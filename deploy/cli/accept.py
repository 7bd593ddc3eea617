"""`runfold accept`: go on after what only an operator can decide."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from runfold.deploy.cli.terminal import OUT, Broker, DataDir, Lake, fail
from runfold.deploy.settings import Settings, load_settings

accept_app = typer.Typer(
    name="accept",
    no_args_is_help=True,
    help="Let workers go on after a loss or a change that halted them.",
)

Topic = Annotated[
    str | None, typer.Option("--topic", help="Topic of the events. \\[default: runfold.events]")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@accept_app.command("loss")
def accept_loss(
    yes: Yes = False,
    broker: Broker = None,
    lake: Lake = None,
    topic: Topic = None,
    data_dir: DataDir = None,
) -> None:
    """Accept that records are gone which the lake does not have and the log no longer has.

    They are named first. Workers then go on behind them; `runfold audit` counts them as lost for
    ever. Where a backup of the lake has them, restore it instead.
    """
    from runfold.deploy.log_lag import log_bounds
    from runfold.processors.topic_watch import describe_topic
    from runfold.schemas.offsets import LogPartition
    from runfold.sinks.lake import LocalLake

    settings = load_settings(broker=broker, lake=lake, topic=topic, data_dir=data_dir)
    store = LocalLake(settings.lake_dir)
    log = asyncio.run(describe_topic(settings.bootstrap, settings.topic))
    bounds = asyncio.run(log_bounds(settings.bootstrap, settings.topic))
    lost = [
        (LogPartition(log.topic_id, partition), offsets)
        for partition, first in sorted(bounds.first_offsets.items())
        for offsets in store.unfilled(LogPartition(log.topic_id, partition), first)
    ]
    if not lost:
        OUT.print("nothing is lost: the log still holds all that the lake has not")
        return
    for place, offsets in lost:
        OUT.print(f"{settings.topic} partition {place.partition}: offsets {offsets} are gone")
    _confirm(f"Go on without these {sum(len(offsets) for _, offsets in lost):,} records?", yes=yes)
    for place, offsets in lost:
        store.accept_loss(place, offsets)
    OUT.print("accepted; workers go on behind them")


@accept_app.command("partitions")
def accept_partitions(
    yes: Yes = False,
    broker: Broker = None,
    lake: Lake = None,
    topic: Topic = None,
    data_dir: DataDir = None,
) -> None:
    """Accept that the topic has more partitions than its log began with.

    Events of one run must lie in one partition. Let open runs end first: a run with events in two
    partitions has a state in each, and `runfold audit` names it.
    """
    from runfold.processors.topic_watch import describe_topic
    from runfold.sinks.log_description import read_description, write_description

    settings: Settings = load_settings(broker=broker, lake=lake, topic=topic, data_dir=data_dir)
    now = asyncio.run(describe_topic(settings.bootstrap, settings.topic))
    known = read_description(settings.lake_dir, now.topic_id)
    if known is None or known.partitions == now.partitions:
        OUT.print(f"{now.topic} has the {now.partitions} partitions that its log began with")
        return
    OUT.print(f"{now.topic} began with {known.partitions} partitions and has {now.partitions}")
    _confirm("Have all runs ended that were open at the change?", yes=yes)
    write_description(settings.lake_dir, now)
    OUT.print("accepted; start the workers again")


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not typer.confirm(question):
        raise fail("nothing was changed")
