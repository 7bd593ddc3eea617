"""`runfold tail`: follow the log live."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.text import Text

from runfold.deploy.cli.terminal import OUT, Broker, DataDir, Format
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError, EventRejected
from runfold.schemas.event import Event
from runfold.schemas.topic import EVENTS
from runfold.schemas.vocabulary import DeadLetterReason, RunStatus, canonical_status

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, ConsumerRecord

_POLL_MS = 200
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STATUS_STYLES = {
    RunStatus.SUCCESS.value: "green",
    RunStatus.FAILURE.value: "red",
    RunStatus.TIMEOUT.value: "red",
    RunStatus.PARTIAL.value: "yellow",
    RunStatus.CANCELLED.value: "yellow",
}
_TYPE_STYLES = {"run": "bold cyan", "tool": "blue", "llm": "magenta", "error": "red"}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are shown; None shows all. `run` may be the beginning of an id."""

    run: str | None = None
    agent: str | None = None
    event_type: str | None = None

    def wants(self, event: Event) -> bool:
        """Say whether `event` is shown."""
        return (
            (self.run is None or event.run_id.startswith(self.run))
            and (self.agent is None or event.agent_name == self.agent)
            and (self.event_type is None or event.event_type == self.event_type)
        )

    def wants_damaged(self, key: bytes | None) -> bool:
        """Say whether a record is shown that is no event, of which only the key is known."""
        if self.agent is not None or self.event_type is not None:
            return False
        return self.run is None or (key or b"").startswith(self.run.encode())


def tail(
    since: Annotated[
        str | None, typer.Option("--since", metavar="10m", help="Begin that long ago: 30s, 2h, 1d.")
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the first event there is.")
    ] = False,
    run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="Only this run; a beginning will do.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this agent.")] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Only this type of event, as tool.ended.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.TABLE,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """Follow the log live, one line for each event, until Ctrl-C.

    Records that are no events are shown with what is wrong with them. The log is shown as it is:
    an event that was sent twice is there twice.
    """
    if output is Format.CSV:
        raise ConfigurationError("--format is table or json here")
    start = _start_ms(since, from_beginning)
    settings = load_settings(broker=broker, data_dir=data_dir)
    wanted = Filter(run, agent, event_type)
    show = _show_json if output is Format.JSON else _show_line
    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(_tail(settings.bootstrap, start, wanted, show))
        except BrokenPipeError:  # `runfold tail | head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _tail(bootstrap: str, start_ms: int | None, wanted: Filter, show: Any) -> None:
    async for record in _follow(bootstrap, start_ms):
        try:
            event = _decode(record)
        except EventRejected as damaged:
            if wanted.wants_damaged(record.key):
                show(record, None, damaged)
        else:
            if wanted.wants(event):
                show(record, event, None)


async def _follow(bootstrap: str, start_ms: int | None) -> AsyncIterator[ConsumerRecord]:
    """Yield the log's records for ever, those of one fetch in the order the log took them.

    Raises: BrokerUnavailable where the log cannot be reached to begin with.
    """
    from aiokafka import AIOKafkaConsumer
    from aiokafka.errors import KafkaError

    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        try:
            await consumer.start()
            await _seek(consumer, start_ms)
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"Kafka at {bootstrap}: {error}") from error
        while True:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS)
            records = [record for batch in fetched.values() for record in batch]
            records.sort(key=lambda each: (each.timestamp, each.partition, each.offset))
            for record in records:
                yield record
    finally:
        await consumer.stop()


async def _seek(consumer: AIOKafkaConsumer, start_ms: int | None) -> None:
    from aiokafka import TopicPartition

    if EVENTS.name not in await consumer.topics():
        raise BrokerUnavailable(f"there is no topic {EVENTS.name} yet; start with: runfold up")
    numbers = await consumer._client._wait_on_metadata(EVENTS.name)
    partitions = [TopicPartition(EVENTS.name, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    # By number: a `seek_to_end` can be overtaken by the reset that an assignment begins with.
    places = await consumer.end_offsets(partitions)
    if start_ms == 0:
        places = await consumer.beginning_offsets(partitions)
    elif start_ms is not None:
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, start_ms))
        places |= {partition: at.offset for partition, at in found.items() if at is not None}
    for partition, offset in places.items():
        consumer.seek(partition, offset)


def _decode(record: ConsumerRecord) -> Event:
    from runfold.schemas.codec.decoder import decode_event

    if record.key is None:
        raise EventRejected(DeadLetterReason.NO_KEY, "the record has no key")
    if record.value is None:
        raise EventRejected(DeadLetterReason.NO_VALUE, "the record has no value")
    event = decode_event(record.value)
    if event.run_id.encode() != record.key:
        message = f"the key is {record.key[:64]!r}, the event's run_id {event.run_id[:64]!r}"
        raise EventRejected(DeadLetterReason.KEY_MISMATCH, message)
    return event


def _start_ms(since: str | None, from_beginning: bool) -> int | None:
    """Return milliseconds since 1970 UTC, 0 for the beginning, None for the end."""
    if from_beginning:
        return 0
    if since is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", since.strip())
    if match is None:
        raise ConfigurationError(f"--since {since}: a number and s, m, h or d are needed, as 10m")
    return max(round((time.time() - int(match[1]) * _UNITS[match[2]]) * 1000), 1)


def _show_json(record: ConsumerRecord, event: Event | None, damaged: EventRejected | None) -> None:
    shown: dict[str, Any] = {"partition": record.partition, "offset": record.offset}
    shown["recorded_at"] = record.timestamp * 1000
    if event is not None:
        shown |= {name: value for name, value in asdict(event).items() if value is not None}
    if damaged is not None:
        shown |= {"damaged": damaged.reason, "message": damaged.message}
    sys.stdout.write(orjson.dumps(shown).decode() + "\n")
    sys.stdout.flush()


def _show_line(record: ConsumerRecord, event: Event | None, damaged: EventRejected | None) -> None:
    OUT.print(damaged_line(record, damaged) if event is None else event_line(event))


def damaged_line(record: ConsumerRecord, damaged: EventRejected | None) -> Text:
    """Return the line of a record that is no event."""
    at = f"partition {record.partition} offset {record.offset}"
    return Text.assemble(
        (f"{_clock(record.timestamp * 1000)}  ", "dim"),
        ("damaged", "bold red"),
        f"  {at}  {_plain(str(damaged))}",
    )


def event_line(event: Event) -> Text:
    """Return the line of an event: when, which run, who, what, how long, how much, what failed."""
    kind = event.event_type.split(".", 1)[0]
    subject = event.tool_name or event.model or event.name or event.decision or ""
    status = canonical_status(event.status or "")
    parts = [
        (f"{_clock(event.occurred_at)}  ", "dim"),
        (f"{_plain(event.run_id)[:8]:<8}  ", "dim cyan"),
        (f"{_plain(event.agent_name or '-')[:18]:<18}  ", ""),
        (f"{_plain(event.event_type)[:16]:<16}  ", _TYPE_STYLES.get(kind, "")),
        (f"{_plain(subject)[:28]:<28}", ""),
        (f"  {_plain(status)}" if status else "", _STATUS_STYLES.get(status, "")),
        (_measures(event), "dim"),
    ]
    wrong = ": ".join(filter(None, (event.error_type, event.error_message)))
    parts.append((f"  {_plain(wrong)[:300]}" if wrong else "", "red"))
    return Text.assemble(*parts)


def _measures(event: Event) -> str:
    shown = []
    if event.duration_ms is not None:
        seconds = event.duration_ms / 1000
        shown.append(f"{event.duration_ms:.0f} ms" if seconds < 1 else f"{seconds:,.1f} s")
    if event.input_tokens is not None or event.output_tokens is not None:
        shown.append(f"{event.input_tokens or 0:,}→{event.output_tokens or 0:,} tokens")
    if event.cost_usd is not None:
        shown.append(f"${event.cost_usd:.4f}")
    if event.value is not None:
        shown.append(f"{event.value:g}{' ' + _plain(event.unit) if event.unit else ''}")
    return "".join(f"  {each}" for each in shown)


def _clock(time_us: int) -> str:
    """Return a time on this machine's clock, with its date where that is not today's."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
        local = moment.astimezone()
    except (OverflowError, OSError, ValueError):
        return f"{time_us} µs"
    clock = local.strftime("%H:%M:%S.%f")[:-3]
    return (
        clock if local.date() == datetime.now().astimezone().date() else f"{local.date()} {clock}"
    )


def _plain(text: str) -> str:
    """Return `text` without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)
