"""`runfold dlq fix` and `runfold dlq redrive`: dead letters become events."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import typer

from runfold.deploy.cli.dlq.job import Job, Manner, run_job
from runfold.deploy.cli.dlq.selection import Everything, Keys, Reason, Run, Since, Topic, select
from runfold.deploy.cli.terminal import Broker, DataDir, Format
from runfold.deploy.resending import Send, fixing, redriving
from runfold.deploy.settings import load_settings
from runfold.processors.letter_plans import Plan, plan_fix, plan_redrive
from runfold.processors.letter_repairs import JqRepair, PythonRepair, Repair, SchemaRepair
from runfold.schemas.codec.confluent import event_framing
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.kept_letter import KeptLetter

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what each would become, send nothing.")
]
Again = Annotated[bool, typer.Option("--again", help="Also letters that were sent before.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Output = Annotated[Format, typer.Option("--format", "-f", help="How to print the outcome.")]


def fix(
    keys: Keys = None,
    python: Annotated[
        str | None, typer.Option("--python", metavar="EXPR", help="Repair by a Python expression.")
    ] = None,
    jq: Annotated[
        str | None, typer.Option("--jq", metavar="PROGRAM", help="Repair by a jq program.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option("--schema", metavar="FILE.avsc", help="What the bytes were written with."),
    ] = None,
    reason: Reason = None,
    since: Since = None,
    run: Run = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    again: Again = False,
    yes: Yes = False,
    output: Output = Format.TABLE,
    topic: Topic = None,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """Repair dead letters and send them as events.

    An expression gives the event as a dict, or None to leave the letter alone.
    It sees [bold]event[/] (the fields that could be read, or JSON),
    [bold]value[/] and [bold]key[/] (bytes), [bold]reason[/], [bold]message[/]
    and [bold]offset[/]. jq gets the same as one document, the value in base64.

    An event without an event_id is given one that is the same each time, so that
    what is sent twice is stored once.

    For example: runfold dlq fix --reason bad_time --dry-run --python
    "event | {'occurred_at': event['occurred_at'] // 1000}"

    Exits with 1 where a letter would still be refused; the others are sent.
    """
    settings = load_settings(topic=topic, broker=broker, data_dir=data_dir)
    framing = event_framing(settings.schema_registry)
    repair = _repair(python, jq, schema)

    def plan(letters: Sequence[KeptLetter]) -> list[Plan]:
        return plan_fix(letters, repair, framing)

    def sending(to: str) -> AbstractAsyncContextManager[Send]:
        return fixing(
            settings.bootstrap, to, by=repair.by, schema_registry=settings.schema_registry
        )

    run_job(
        Job(settings.bootstrap, plan, sending),
        select(settings.topic, keys, reason, since, run, everything=everything),
        Manner(dry_run, again, yes, output),
    )


def redrive(
    keys: Keys = None,
    reason: Reason = None,
    since: Since = None,
    run: Run = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    again: Again = False,
    yes: Yes = False,
    output: Output = Format.TABLE,
    topic: Topic = None,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """Send the original records again, unchanged: after an upgrade that can read them.

    Exits with 1 where a letter would be refused again; the others are sent.
    """
    settings = load_settings(topic=topic, broker=broker, data_dir=data_dir)
    framing = event_framing(settings.schema_registry)

    def plan(letters: Sequence[KeptLetter]) -> list[Plan]:
        return plan_redrive(letters, framing)

    def sending(to: str) -> AbstractAsyncContextManager[Send]:
        return redriving(settings.bootstrap, to)

    run_job(
        Job(settings.bootstrap, plan, sending),
        select(settings.topic, keys, reason, since, run, everything=everything),
        Manner(dry_run, again, yes, output),
    )


def _repair(python: str | None, jq: str | None, schema: Path | None) -> Repair:
    given: list[Repair] = []
    if python is not None:
        given.append(PythonRepair(python))
    if jq is not None:
        given.append(JqRepair(jq))
    if schema is not None:
        given.append(SchemaRepair(schema))
    if len(given) != 1:
        raise ConfigurationError("one of --python, --jq and --schema is needed")
    return given[0]
