"""`runfold replay`: fold a log again, compare, and switch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runfold.deploy.cli.runs import moment
from runfold.deploy.cli.tables import plain, print_rows
from runfold.deploy.cli.terminal import (
    ERR,
    EXIT_FAILED,
    EXIT_USAGE,
    OUT,
    Broker,
    DataDir,
    Format,
    Lake,
    fail,
)
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError

_SHOWN = 30
_LONGEST_VALUE = 60

replay_app = typer.Typer(
    name="replay",
    invoke_without_command=True,
)
Output = Annotated[Format, typer.Option("--format", "-f", help="How to print.")]


@replay_app.callback()
def replay(
    context: typer.Context,
    into: Annotated[
        str | None, typer.Option("--into", metavar="NAME", help="Set of states to make.")
    ] = None,
    fold: Annotated[
        str,
        typer.Option(
            "--fold",
            metavar="NAME",
            help="`default`, or MODULE:FUNCTION of a function (state, logged_event) -> None.",
        ),
    ] = "default",
    from_lake: Annotated[
        bool,
        typer.Option("--from-lake", help="From the stored events: no broker, no retention."),
    ] = False,
    from_offset: Annotated[
        int | None, typer.Option("--from-offset", min=0, help="Leave out what lies before it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Leave out what came before: 2h, 3d, or a time.")
    ] = None,
    broker: Broker = None,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Fold a log again into a set of states of its own, beside those that serve.

    For example: runfold replay --into check; runfold replay diff original check;
    runfold replay promote check. The old states serve until then, and can be switched back to
    (`runfold replay promote original`). A replay that was stopped goes on when it is repeated.
    """
    if context.invoked_subcommand is not None:
        return
    if into is None:
        raise fail("a replay needs a name", hint="add --into NAME", code=EXIT_USAGE)
    if from_offset is not None and since is not None:
        raise ConfigurationError("--from-offset and --since say both where to begin; give one")
    from runfold.deploy.replays import Replay, plan_replay, run_replay

    settings = load_settings(broker=broker, lake=lake, data_dir=data_dir)
    began = None if since is None else moment(since, datetime.now(UTC))
    wanted = Replay(into, fold, from_lake, from_offset, began)
    plan = plan_replay(settings, wanted)
    with _progress("replaying", plan.records) as on_records:
        run_replay(settings, wanted, plan, on_records=on_records)
    OUT.print(f"{plan.records:,} records replayed into {plain(into)}")
    OUT.print(f"[dim]`runfold replay diff original {plain(into)}` compares the states[/]")


@replay_app.command("ls")
def list_sets(output: Output = Format.TABLE, lake: Lake = None, data_dir: DataDir = None) -> None:
    """List the sets of states, and which one serves."""
    from runfold.sinks.state_sets import all_sets, serving_set

    root = load_settings(lake=lake, data_dir=data_dir).lake_dir
    serving = serving_set(root).name
    rows = [{**asdict(each), "serving": each.name == serving} for each in all_sets(root)]
    print_rows(rows, output)


@replay_app.command()
def diff(
    a: Annotated[str, typer.Argument(help="A set; `original` is the one workers began with.")],
    b: Annotated[str, typer.Argument(help="Another set.")],
    output: Output = Format.TABLE,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Runs to show.")] = _SHOWN,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Compare the states of two sets, as far as both reach. Exits with 1 where they differ."""
    from runfold.sinks.state_diff import diff_states
    from runfold.sinks.state_sets import find_set

    root = load_settings(lake=lake, data_dir=data_dir).lake_dir
    names = [find_set(root, each).name for each in (a, b)]
    found = diff_states(root, *names, most_runs=limit)
    if output is not Format.TABLE:
        print_rows([{**asdict(found), "is_same": found.is_same}], output)
    else:
        _print_diff(found, a, b)
    if not found.is_same:
        raise typer.Exit(EXIT_FAILED)


def _print_diff(found: Any, a: str, b: str) -> None:
    OUT.print(
        f"{found.equal:,} runs are equal, {found.different:,} differ, {found.only_in_a:,} only in "
        f"{plain(a)}, {found.only_in_b:,} only in {plain(b)}"
    )
    if found.changed_since:
        OUT.print(f"[dim]{found.changed_since:,} were heard of since and are not compared[/]")
    for run in found.runs:
        if not (run["in_a"] and run["in_b"]):
            OUT.print(f"{plain(run['run_id'])}: only in {plain(a if run['in_a'] else b)}")
            continue
        OUT.print(f"{plain(run['run_id'])}:")
        for each in run["differences"]:
            OUT.print(f"  {each['column']}: {_short(each['a'])} → {_short(each['b'])}")


def _short(value: str | None) -> str:
    text = "null" if value is None else value
    return plain(text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…")


@replay_app.command()
def promote(
    name: Annotated[str, typer.Argument(help="The set that is to serve; `original` goes back.")],
    broker: Broker = None,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Let a set of states serve: commands and workers go on with it, and the others stay."""
    from runfold.deploy.replays import promote as promote_set

    settings = load_settings(broker=broker, lake=lake, data_dir=data_dir)
    with _progress("catching up", None) as on_records:
        chosen = promote_set(settings, name, on_records=on_records)
    OUT.print(f"{plain(chosen.name)} serves now; running workers go over to it at their next flush")


@replay_app.command("rm")
def remove(
    name: Annotated[str, typer.Argument(help="The set to remove.")],
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Remove a set of states that does not serve."""
    from runfold.sinks.state_sets import find_set, remove_set, serving_set

    root = load_settings(lake=lake, data_dir=data_dir).lake_dir
    if serving_set(root).name == find_set(root, name).name:
        raise ConfigurationError(f"{name!r} serves; promote another set first")
    remove_set(root, name)
    OUT.print(f"{plain(name)} removed")


@contextmanager
def _progress(doing: str, records: int | None) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=ERR, transient=True) as shown:
        task = shown.add_task(doing, total=records)
        yield lambda more: shown.advance(task, more)
