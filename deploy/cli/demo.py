"""`runfold demo`: publish a made-up fleet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.progress import Progress

from runfold.deploy.cli.figures import print_figures
from runfold.deploy.cli.terminal import ERR, Broker, DataDir, Format
from runfold.deploy.settings import load_settings
from runfold.producers.demo import (
    BadRecord,
    DemoRecord,
    FleetCounts,
    generate_fleet,
    generate_live,
)
from runfold.producers.kafka_errors import broker_errors
from runfold.producers.kafka_producer import discard_producer, open_producer
from runfold.producers.kafka_publisher import KafkaPublisher
from runfold.producers.publisher import Publisher
from runfold.producers.topic_setup import ensure_topics
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.topic import EVENTS

_PATIENCE = timedelta(seconds=30)
_PROGRESS_EVERY = 500

Runs = Annotated[int, typer.Option("--runs", min=1, help="How many runs, sub-agents aside.")]
Seed = Annotated[int, typer.Option("--seed", help="Another seed gives another fleet.")]
Now = Annotated[
    str | None,
    typer.Option(
        "--now",
        metavar="TIME",
        help="When the fleet's history ends, ISO 8601; the same seed and time give the same "
        "events, which count once. \\[default: the present]",
    ),
]
Live = Annotated[bool, typer.Option("--live", help="Go on in real time until Ctrl-C.")]
Speed = Annotated[
    float, typer.Option("--speed", min=0.01, help="How much faster than real time --live goes.")
]


def demo(
    runs: Runs = 300,
    seed: Seed = 1,
    now: Now = None,
    live: Live = False,
    speed: Speed = 1.0,
    output: Annotated[Format, typer.Option("--format", help="How to print the counts.")] = (
        Format.TABLE
    ),
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """Publish a fleet of made-up agents: runs, sub-agents, failures, duplicates, bad records."""
    settings = load_settings(broker=broker, data_dir=data_dir)
    moment = _moment(now)
    counts = FleetCounts()
    ERR.print(f"[dim]publishing a made-up fleet to Kafka at {settings.bootstrap}[/]")
    asyncio.run(_publish_history(settings.bootstrap, generate_fleet(seed, moment, runs), counts))
    _print_counts(counts, output)
    if live:
        ERR.print("publishing on in real time; Ctrl-C stops it")
        records = _squeezed(generate_live(seed, moment, runs), moment, speed)
        try:
            asyncio.run(_publish_live(settings.bootstrap, records, counts))
        except KeyboardInterrupt:
            _print_counts(counts, output)


def _moment(now: str | None) -> datetime:
    if now is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(now)
    except ValueError as error:
        raise ConfigurationError(f"--now: {error}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _publish_history(
    bootstrap: str, records: Iterable[DemoRecord], counts: FleetCounts
) -> None:
    all_records = list(records)
    bad = [each.bad for each in all_records if each.bad is not None]
    with Progress(console=ERR, transient=True) as progress:
        task = progress.add_task("publishing", total=len(all_records))
        async with KafkaPublisher(bootstrap) as publisher:
            for number, record in enumerate(all_records):
                await _publish(publisher, record, counts)
                if number % _PROGRESS_EVERY == 0:
                    progress.update(task, completed=number)
        await _send_bad(bootstrap, bad, counts)


async def _publish_live(bootstrap: str, records: Iterable[DemoRecord], counts: FleetCounts) -> None:
    async with KafkaPublisher(bootstrap) as publisher:
        for record in records:
            await asyncio.sleep(max(0.0, record.at_us / 1e6 - time.time()))
            await _publish(publisher, record, counts)


async def _publish(publisher: Publisher, record: DemoRecord, counts: FleetCounts) -> None:
    if record.event is not None:
        await publisher.publish(record.event)
        counts.add(record.event)


async def _send_bad(bootstrap: str, bad: list[BadRecord], counts: FleetCounts) -> None:
    """Send what no publisher would: the bytes as they are."""
    await ensure_topics(bootstrap)  # the dead letters' too, which a worker is about to need
    producer, _ = await open_producer(bootstrap, topic=EVENTS.name, patience=_PATIENCE)
    try:
        with broker_errors(bootstrap):
            for each in bad:
                await producer.send_and_wait(EVENTS.name, each.value, key=each.key)
                counts.add_bad()
    finally:
        await discard_producer(producer)


def _squeezed(
    records: Iterable[DemoRecord], moment: datetime, speed: float
) -> Iterable[DemoRecord]:
    """Bring what comes after `moment` nearer to it by `speed`, times of the events included."""
    start_us = round(moment.timestamp() * 1e6)

    def nearer(at_us: int) -> int:
        return start_us + round((at_us - start_us) / speed) if at_us > start_us else at_us

    for record in records:
        if record.event is not None:
            event = {**record.event, "occurred_at": nearer(record.event["occurred_at"])}
            yield DemoRecord(nearer(record.at_us), event=event)


def _print_counts(counts: FleetCounts, output: Format) -> None:
    figures = {
        "records": counts.records,
        "events": counts.events,
        "duplicates": counts.duplicates,
        "bad_records": counts.bad_records,
        "runs": dict(sorted(counts.runs_by_status.items())),
        "tokens": dict(sorted(counts.tokens.items())),
        "cost_usd": round(counts.cost_usd, 6),
    }
    print_figures(figures, output, title="the demo fleet")
