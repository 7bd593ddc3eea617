"""`runfold retention`: remove what is older than it is to be kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.markup import escape

from runfold.deploy.cli.runs import duration
from runfold.deploy.cli.terminal import ERR, OUT, Broker, DataDir, Lake
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.deploy.retention import RetentionPlan
    from runfold.schemas.lake import CompactionCounts

_KEEP = "keep"


class RetentionFormat(StrEnum):
    """How the outcome is printed."""

    TABLE = "table"
    JSON = "json"


def retention(
    events: Annotated[
        str, typer.Option("--events", metavar="AGE|keep", help="Events in the lake.")
    ] = "90d",
    kafka: Annotated[
        str | None,
        typer.Option(
            "--kafka",
            metavar="AGE|keep",
            help="Records of the topic, as far as the lake has them. \\[default: as --events]",
        ),
    ] = None,
    dead_letters: Annotated[
        str, typer.Option("--dead-letters", metavar="AGE|keep", help="Dead letters, open ones too.")
    ] = _KEEP,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", envvar="FORCE", help="Do it. Without, only say what.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed; the default.")
    ] = False,
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="SPAN", help="How long files stay for queries that read them: 0, 15m"
        ),
    ] = "15m",
    output: Annotated[
        RetentionFormat, typer.Option("--format", "-f", help="How to print the outcome.")
    ] = RetentionFormat.TABLE,
    broker: Broker = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="Topic of the events. \\[default: runfold.events]")
    ] = None,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Remove what is older than it is to be kept: 30m, 12h, 90d, 52w, or keep.

    States of runs, and so all sums, are kept for ever. Events go by whole days (UTC), so they stay
    up to a day longer. What was removed is noted in the lake: `runfold audit` counts it and finds
    no hole, and `runfold run ID` says it. Safe while workers run, safe to interrupt and to repeat.

    For example: runfold retention --events 30d --yes
    """
    from runfold.deploy.retention import Ages, carry_out, plan_retention

    if yes and dry_run:
        raise ConfigurationError("--yes and --dry-run exclude each other")
    ages = Ages(
        _age("--events", events),
        _age("--kafka", events if kafka is None else kafka),
        _age("--dead-letters", dead_letters),
    )
    kept_for = timedelta(0) if grace.strip() == "0" else _age("--grace", grace)
    settings = load_settings(broker=broker, topic=topic, lake=lake, data_dir=data_dir)
    done = None
    with ERR.status("looking") as shown:
        plan = plan_retention(settings, ages, datetime.now(UTC))
        if yes:
            done = carry_out(
                settings,
                plan,
                kept_for or timedelta(0),
                on_step=lambda step: shown.update(escape(step)),
            )
    if output is RetentionFormat.JSON:
        said = orjson.dumps(_as_json(plan, done), option=orjson.OPT_INDENT_2)
        OUT.file.write(said.decode() + "\n")
    else:
        _print(plan, done)


def _age(option: str, text: str) -> timedelta | None:
    span = None if text == _KEEP else duration(text)
    if span is None and text != _KEEP:
        raise ConfigurationError(
            f"{option} is no span of time: {text!r}; use 12h, 90d, 52w or keep"
        )
    return span


def _as_json(plan: RetentionPlan, done: CompactionCounts | None) -> dict[str, Any]:
    return {
        "dry_run": done is None,
        "events": [
            {
                "topic_id": each.log.topic_id,
                "partition": each.log.partition,
                "first": each.range.first,
                "last": each.range.last,
                "until": each.newest.isoformat(),
                "files": len(each.files),
                "bytes": each.size_bytes,
            }
            for each in plan.events
        ],
        "hindered": [
            {"topic_id": each.log.topic_id, "partition": each.log.partition, "says": each.says}
            for each in plan.hindrances
        ],
        "kafka_records": _records(plan.kafka),
        "dead_letters": _records(plan.dead_letters),
        "removed_files": 0 if done is None else done.removed_files,
        "removed_bytes": 0 if done is None else done.removed_bytes,
    }


def _print(plan: RetentionPlan, done: CompactionCounts | None) -> None:
    would = "would be " if done is None else ""
    records = sum(len(each.range) for each in plan.events)
    files = sum(len(each.files) for each in plan.events)
    megabytes = sum(each.size_bytes for each in plan.events) / 1e6
    until = f" up to {max(each.newest for each in plan.events)}" if plan.events else ""
    OUT.print(
        f"events: {records:,} records{until}, {files:,} files, {megabytes:,.1f} MB {would}removed"
    )
    OUT.print(f"Kafka: {_records(plan.kafka):,} records {would}deleted")
    if plan.dead_letters:
        OUT.print(f"dead letters: {_records(plan.dead_letters):,} records {would}deleted")
    for each in plan.hindrances:
        place = f"partition {each.log.partition} of {each.log.topic_id}"
        OUT.print(f"[yellow]{place}: more stays, since {each.says}[/]")
    if done is None:
        OUT.print("[dim]nothing was removed; --yes does it[/]")
    elif done.removed_files < files:
        OUT.print("[dim]files go when the grace is over: workers remove them, or this command[/]")


def _records(spans: Any) -> int:
    return sum(end - first for first, end in spans.values())
