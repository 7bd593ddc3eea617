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
    again: Annotated[
        bool,
        typer.Option("--again", help="What came back of all that was erased before, in one go."),
    ] = False,
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

    From the lake (events, all sets of states, documents), PostgreSQL, the dead letters, the
    journals that dead processes of this machine left (they are shipped first) or keep as rejected,
    and Kafka, whose topic is cut off where the lake has taken it over: replays are from the lake
    then. Workers must run. Safe to interrupt and to repeat. A receipt is kept in the lake, with
    hashes instead of names; `runfold audit` counts what was erased and finds no hole.

    Stop the agents of the subject first. Not reached: backups, journals of other machines and of
    living processes. What comes from them later is not refused: `runfold erase --again` removes it,
    of a session all, of a user or a host, who may come back, the runs that were erased. Run it
    daily, as you do `runfold retention`.
    """
    from runfold.deploy.erasing import Subject, erase_again, find_left, find_left_of_all
    from runfold.deploy.erasing import erase as erase_subject

    given = {"session": session, "user": user, "host": host}
    chosen = [Subject(by, name) for by, name in given.items() if name]
    if len(chosen) + again != 1:
        raise ConfigurationError("give one of --session, --user, --host and --again")
    what = "came back of what was erased"
    if not again:
        what = f"is stored of the {chosen[0].by} {chosen[0].name!r}"
    settings = load_settings(
        broker=broker, topic=topic, lake=lake, postgres=postgres, data_dir=data_dir
    )
    if not (verify or yes) and not typer.confirm(f"Erase all that {what}, for good?"):
        raise fail("nothing was erased")
    done: list[Erasure] = []
    with ERR.status("looking") as shown:

        def on_step(step: str) -> None:
            shown.update(escape(step))

        if again:
            done = [] if verify else erase_again(settings, on_step=on_step)
            left = find_left_of_all(settings, on_step=on_step)
        else:
            done = [] if verify else [erase_subject(settings, chosen[0], on_step=on_step)]
            left = find_left(settings, chosen[0], on_step=on_step)
    if output is EraseFormat.JSON:
        said = _as_json([_receipt(each) for each in done], left, again=again)
        OUT.file.write(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(done, left)
    if any(left.values()):
        raise typer.Exit(EXIT_FAILED)


def _as_json(
    receipts: list[dict[str, Any]], left: dict[str, list[str]], *, again: bool
) -> dict[str, Any]:
    told = {"receipts": receipts} if again else {"receipt": receipts[0] if receipts else None}
    return {**told, "clean": not any(left.values()), "left": left}


def _receipt(done: Erasure) -> dict[str, Any]:
    return {
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


def _print(done: list[Erasure], left: dict[str, list[str]]) -> None:
    for each in done:
        OUT.print(f"erasure {each.id}, by {each.by}: {len(each.runs):,} runs, done {each.done_at}")
        for what, count in each.removed.items():
            if count:
                OUT.print(f"  {count:,} {what}")
    for where, places in left.items():
        for place in places:
            OUT.print(f"[red]✘[/] left in {where.replace('_', ' ')}: {escape(place)}")
    if not any(left.values()):
        looked = ", ".join(left).replace("_", " ") or "the lake, which knows of no erasure"
        OUT.print(f"[green]✔[/] nothing is left in {looked}")
    if done:
        OUT.print("[dim]backups made before still hold it; the receipt is kept in the lake[/]")
