"""`runfold run ID`: one run, its timeline and its children."""

from __future__ import annotations

import difflib
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.tree import Tree

from runfold.deploy.cli.tables import (
    coloured_status,
    human_count,
    human_duration,
    human_usd,
    print_rows,
)
from runfold.deploy.cli.terminal import OUT, DataDir, Format, Lake
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.sinks.query import LakeQueries

_QUIET = "('run.heartbeat', 'log.written')"


def run(
    run_id: Annotated[str, typer.Argument(help="The run, or the beginning of its id.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Events to show.")] = 60,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every event, heartbeats and logs too.")
    ] = False,
    output: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.TABLE,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Show one run: what it was, its timeline, its sub-runs, and whether anything is missing."""
    from runfold.sinks.query import open_lake

    with open_lake(load_settings(lake=lake, data_dir=data_dir).lake_dir) as lake_queries:
        shown = _find(lake_queries, run_id)
        where = "run_id = ?" + ("" if everything else f" and event_type not in {_QUIET}")
        bound = "" if everything or output is not Format.TABLE else f"limit {limit}"
        events = lake_queries.rows(
            f'select * from events where {where} order by occurred_at, "offset" {bound}',
            [shown["run_id"]],
        )
        below = _descendants(lake_queries, shown["run_id"])
    if output is not Format.TABLE:
        print_rows([{**shown, "timeline": events, "sub_runs": below}], output)
        return
    OUT.print(_header(shown))
    OUT.print(_timeline(events, shown["started_at"]))
    hidden = shown["events"] - len(events)
    if hidden > 0:
        OUT.print(f"[dim]{hidden:,} more events; --all shows them[/]")
    if below:
        OUT.print(_tree(shown, below))


def _find(lake_queries: LakeQueries, run_id: str) -> dict[str, Any]:
    found = lake_queries.rows("select * from runs where run_id = ?", [run_id])
    if not found:
        found = lake_queries.rows(
            "select * from runs where starts_with(run_id, ?) order by run_id limit 6", [run_id]
        )
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(each["run_id"] for each in found[:5])
        raise ConfigurationError(f"{run_id!r} is the beginning of several runs: {names} …")
    everyone = [row["run_id"] for row in lake_queries.rows("select run_id from runs")]
    near = difflib.get_close_matches(run_id, everyone, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `runfold runs` lists them"
    raise ConfigurationError(f"there is no run {run_id!r}{hint}")


def _descendants(lake_queries: LakeQueries, run_id: str) -> list[dict[str, Any]]:
    return lake_queries.rows(
        """
        with recursive below as (
            select ?::varchar as run_id
            union
            select runs.run_id from below join runs on runs.parent_run_id = below.run_id
        )
        select run_id, parent_run_id, agent_name, status, started_at, duration_ms, events,
               total_tokens, cost_usd, last_tool, last_tool_open
        from runs where run_id in (select run_id from below) and run_id <> ?
        order by started_at, run_id
        """,
        [run_id, run_id],
    )


def _header(shown: dict[str, Any]) -> Table:
    facts: list[tuple[str, str]] = [
        ("run", f"[bold]{_plain(shown['run_id'])}[/]"),
        ("agent", _plain(" ".join(filter(None, (shown["agent_name"], shown["agent_version"]))))),
        ("part of", _plain(shown["parent_run_id"])),
        ("status", coloured_status(shown["status"])),
        ("project", _plain(shown["project"])),
        ("where", _plain(" · ".join(filter(None, (shown["host"], shown["environment"]))))),
        ("git", _plain(" ".join(filter(None, (
            shown["git_repo"], shown["git_branch"], shown["git_commit_hash"]))))),
        ("started", f"{shown['started_at']:%Y-%m-%d %H:%M:%S} UTC"),
        ("took", human_duration(shown["duration_ms"])),
        ("tokens", _tokens(shown)),
        ("cost", _cost(shown)),
        ("tools", _tools(shown)),
        ("error", _plain(": ".join(filter(None, (shown["error_type"], shown["error_message"]))))),
        ("record", _completeness(shown)),
    ]  # fmt: skip
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(name, value)
    return table


def _tokens(shown: dict[str, Any]) -> str:
    kinds = (("in", "input"), ("out", "output"), ("cache read", "cache_read"),
             ("cache write", "cache_write"), ("reasoning", "reasoning"))  # fmt: skip
    counts = [(word, shown[f"{kind}_tokens"]) for word, kind in kinds]
    return ", ".join(f"{human_count(count)} {word}" for word, count in counts if count)


def _cost(shown: dict[str, Any]) -> str:
    own, tree = shown["cost_usd"], shown["tree_cost_usd"]
    return human_usd(own) + (f", {human_usd(tree)} with its sub-runs" if tree > own else "")


def _tools(shown: dict[str, Any]) -> str:
    if not shown["tools_started"] and not shown["tools_ended"]:
        return ""
    failed = f", [red]{shown['tools_failed']} failed[/]" if shown["tools_failed"] else ""
    still = f", still in {_plain(shown['last_tool'])}" if shown["last_tool_open"] else ""
    return f"{shown['tools_ended']} ended{failed}{still}"


def _completeness(shown: dict[str, Any]) -> str:
    missing = shown["missing_events"]
    if not missing:
        return f"[green]complete[/], {shown['events']:,} events"
    return f"[red]missing {missing:,} of {shown['events'] + missing:,}[/] events"


def _timeline(events: list[dict[str, Any]], started_at: datetime) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("at", justify="right", no_wrap=True, style="dim")
    table.add_column("event", no_wrap=True)
    table.add_column("what", overflow="fold")
    for name in ("took", "tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for event in events:
        offset_ms = (event["occurred_at"] - started_at).total_seconds() * 1000
        tokens = (event["input_tokens"] or 0) + (event["output_tokens"] or 0)
        table.add_row(
            ("+" if offset_ms >= 0 else "") + human_duration(offset_ms),
            event["event_type"],
            _what(event),
            human_duration(event["duration_ms"]),
            human_count(tokens or None),
            human_usd(event["cost_usd"]),
        )
    return table


def _what(event: dict[str, Any]) -> str:
    words = [event["tool_name"], event["name"], event["decision"], event["model"]]
    said = [_plain(word) for word in words if word]
    if event["value"] is not None:
        said.append(f"{event['value']:g} {_plain(event['unit'])}".strip())
    if event["status"]:
        said.append(coloured_status(event["status"]))
    problem = ": ".join(filter(None, (event["error_type"], event["error_message"])))
    if problem:
        said.append(f"[red]{_plain(problem)}[/]")
    return " ".join(said)


def _tree(shown: dict[str, Any], below: list[dict[str, Any]]) -> Tree:
    tree = Tree(f"sub-runs of [bold]{_plain(shown['run_id'])}[/]", guide_style="dim")
    places = {shown["run_id"]: tree}
    waiting = list(below)
    while waiting:
        rest = [each for each in waiting if each["parent_run_id"] not in places]
        for each in waiting:
            if each["parent_run_id"] in places:
                line = " ".join(
                    filter(None, (
                        _plain(each["run_id"]), _plain(each["agent_name"]),
                        coloured_status(each["status"]), human_duration(each["duration_ms"]),
                        human_usd(each["cost_usd"]),
                    ))
                )  # fmt: skip
                places[each["run_id"]] = places[each["parent_run_id"]].add(line)
        if len(rest) == len(waiting):
            break
        waiting = rest
    return tree


def _plain(text: str | None) -> str:
    return (text or "").replace("[", r"\[")
