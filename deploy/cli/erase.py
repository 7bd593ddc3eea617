"""`runfold erase`: remove all that is stored of a session, a user or a host."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.markup import escape

from runfold.deploy.cli.terminal import (
    ERR,
    EXIT_FAILED,
    OUT,
    Broker,
    DataDir,
    Lake,
    Postgres,
    fail,
)
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.sinks.erasure.record import Erasure


class EraseFormat(StrEnum):
    """How the receipt is printed."""

    TABLE = "table"
    JSON = "json"


def erase(
    session: Annotated[
        str | None, typer.Option("--session", metavar="ID", help="By session id, or run id.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="By the owner of the agents.")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="NAME", help="By the host of the runs.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Remove nothing; exit with 1 if anything is left.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="FORCE", help="Do not ask.")] = False,
    output: Annotated[
        EraseFormat, typer.Option("--format", "-f", help="How to print the receipt.")
    ] = EraseFormat.TABLE,
    broker: Broker = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="Topic of the events. \\[default: runfold.events]")
    ] = None,
    lake: Lake = None,
    postgres: Postgres = None,
    data_dir: DataDir = None,
) -> None:
    """Remove every run of a session, a user or a host, and all sub-runs, for good.

    From the lake (events, all sets of states, documents), PostgreSQL, the dead letters, what the
    journals of this machine keep as rejected, and Kafka, whose topic is cut off where the lake has
    taken it over: replays are from the lake then. Workers must run or have caught up. Safe to
    interrupt and to repeat. A receipt is kept in the lake, with hashes instead of names; `runfold
    audit` counts what was erased and finds no hole.

    Stop the agents of the subject first and ship their journals (`runfold ship`). Not reached:
    backups, journals of other machines and of living processes. What comes later is not refused:
    --verify finds it, and erasing once more removes it.
    """
    from runfold.deploy.erasing import Subject, find_left
    from runfold.deploy.erasing import erase as erase_subject

    given = {"session": session, "user": user, "host": host}
    chosen = [Subject(by, name) for by, name in given.items() if name]
    if len(chosen) != 1:
        raise ConfigurationError("give one of --session, --user and --host")
    [subject] = chosen
    settings = load_settings(
        broker=broker, topic=topic, lake=lake, postgres=postgres, data_dir=data_dir
    )
    if not (verify or yes) and not typer.confirm(
        f"Erase all that is stored of the {subject.by} {subject.name!r}, for good?"
    ):
        raise fail("nothing was erased")
    done = None
    with ERR.status("looking") as shown:

        def on_step(step: str) -> None:
            shown.update(escape(step))

        if not verify:
            done = erase_subject(settings, subject, on_step=on_step)
        left = find_left(settings, subject, on_step=on_step)
    if output is EraseFormat.JSON:
        said = orjson.dumps(_as_json(done, left), option=orjson.OPT_INDENT_2)
        OUT.file.write(said.decode() + "\n")
    else:
        _print(done, left)
    if any(left.values()):
        raise typer.Exit(EXIT_FAILED)


def _as_json(done: Erasure | None, left: dict[str, list[str]]) -> dict[str, Any]:
    receipt = None
    if done is not None:
        receipt = {
            "id": done.id,
            "by": done.by,
            "subject_sha256": done.subject,
            "salt": done.salt,
            "begun_at": done.begun_at,
            "done_at": done.done_at,
            "runs": len(done.runs),
            "removed": done.removed,
            "kafka_cut_before": done.offsets,
        }
    return {"receipt": receipt, "clean": not any(left.values()), "left": left}


def _print(done: Erasure | None, left: dict[str, list[str]]) -> None:
    if done is not None:
        OUT.print(f"erasure {done.id}, by {done.by}: {len(done.runs):,} runs, done {done.done_at}")
        for what, count in done.removed.items():
            if count:
                OUT.print(f"  {count:,} {what}")
    for where, places in left.items():
        for place in places:
            OUT.print(f"[red]✘[/] left in {where.replace('_', ' ')}: {escape(place)}")
    if not any(left.values()):
        OUT.print(f"[green]✔[/] nothing is left in {', '.join(left).replace('_', ' ')}")
    if done is not None:
        OUT.print("[dim]backups made before still hold it; the receipt is kept in the lake[/]")
