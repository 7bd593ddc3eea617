"""`runfold runs`: what ran, newest first."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from runfold.deploy.cli.orphans import orphans_table
from runfold.deploy.cli.tables import (
    coloured_status,
    human_ago,
    human_count,
    human_duration,
    human_usd,
    plain,
    print_rows,
    styled,
)
from runfold.deploy.cli.terminal import OUT, DataDir, Format, Lake
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.vocabulary import RunStatus, canonical_status

_SPAN = re.compile(r"^([0-9]+)([smhdw])$")
_SPAN_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COLUMNS = (
    "run_id, parent_run_id, agent_name, project, status, started_at, ended_at, duration_ms, "
    "events, tools_ended, tools_failed, errors, total_tokens, cost_usd, tree_cost_usd, children, "
    "missing_events, error_type, error_message, silent_ms, last_tool, last_tool_open, open_children"
)


def runs(
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Only of this agent.")] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", "-s", help="Only running, success, failure, orphaned, …"),
    ] = None,
    project: Annotated[str | None, typer.Option("--project", "-p", help="Only of it.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only started since: 15m, 2h, 3d, or a time.")
    ] = None,
    parent: Annotated[
        str | None, typer.Option("--parent", help="Only direct sub-runs of this run.")
    ] = None,
    top: Annotated[bool, typer.Option("--top", help="Only runs that have no parent.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 30,
    output: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.TABLE,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """List runs, newest first.

    A run is orphaned when its process went silent without ending it: for 90 s where it had sent
    heartbeats, for an hour where it never did. --status orphaned shows what each died in, had
    spent and left open.
    """
    from runfold.sinks.query import open_lake

    wanted_status = None if status is None else _status(status)
    filters: dict[str, Any] = {
        "agent_name = ?": agent,
        "status = ?": wanted_status,
        "project = ?": project,
        "started_at >= ?": None if since is None else moment(since, datetime.now(UTC)),
        "parent_run_id = ?": parent,
    }
    wanted = [condition for condition, value in filters.items() if value is not None]
    values = [value for value in filters.values() if value is not None]
    where = " and ".join([*wanted, "parent_run_id is null"] if top else wanted) or "true"
    with open_lake(load_settings(lake=lake, data_dir=data_dir).lake_dir) as lake_queries:
        found, columns = lake_queries.rows_and_columns(
            f"select {_COLUMNS}, count(*) over () as total from runs where {where} "
            f"order by started_at desc nulls last, run_id limit {limit}",
            values,
        )
    total = [run.pop("total") for run in found]
    columns.remove("total")
    if output is not Format.TABLE:
        print_rows(found, output, columns)
        return
    if not found:
        OUT.print("no runs" + (" match" if wanted or top else " yet"))
        OUT.print("[dim]`runfold import claude-code` or `runfold demo` brings some[/]")
        return
    now = datetime.now(UTC)
    if wanted_status == RunStatus.ORPHANED:
        OUT.print(orphans_table(found, now, with_agent=OUT.width >= _NARROW))
    else:
        OUT.print(_table(found, now, width=OUT.width))
    OUT.print(f"[dim]{len(found):,} of {total[0]:,} runs; `runfold run ID` shows one[/]")


def moment(text: str, now: datetime) -> datetime:
    """Return the time that `text` means: a span before `now` (15m, 2h, 3d), or an ISO time.

    Raises: ConfigurationError.
    """
    try:
        if (span := duration(text)) is not None:
            return now - span
        at = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"not a time: {text!r}; use 15m, 2h, 3d or 2026-11-21T07:00:00Z"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def duration(text: str) -> timedelta | None:
    """Return the span that `text` means (15m, 2h, 3d), None for anything else."""
    span = _SPAN.match(text.strip())
    try:
        return timedelta(**{_SPAN_UNITS[span[2]]: int(span[1])}) if span else None
    except OverflowError:
        return None


def _status(text: str) -> str:
    status = canonical_status(text)
    known = [each.value for each in RunStatus]
    if status not in known:
        raise ConfigurationError(f"no status {text!r}; there are {', '.join(known)}")
    return status


_NARROW, _WIDE = 110, 150
"""A terminal narrower than these shows fewer columns, so that ids stay in one piece."""


def _table(found: list[dict[str, Any]], now: datetime, *, width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    names = ["status", "started", "took", "tokens", "cost"]
    if width >= _NARROW:
        table.add_column("agent", overflow="fold")
    if width >= _WIDE:
        names[3:3] = ["events", "tools", "errors"]
    for name in names:
        table.add_column(name, justify="left" if name == "status" else "right", no_wrap=True)
    for run in found:
        cells = _cells(run, now)
        agent = [plain(run["agent_name"])] if width >= _NARROW else []
        indent = "└\u00a0" if run["parent_run_id"] else ""
        row = [indent + plain(run["run_id"]), *agent, *(cells[name] for name in names)]
        table.add_row(*map(styled, row))
    return table


def _cells(run: dict[str, Any], now: datetime) -> dict[str, str]:
    failed = f" [red]({run['tools_failed']})[/]" if run["tools_failed"] else ""
    return {
        "status": coloured_status(run["status"]),
        "started": human_ago(run["started_at"], now),
        "took": human_duration(run["duration_ms"]),
        "events": f"{run['events']:,}" + ("[red]![/]" if run["missing_events"] else ""),
        "tools": str(run["tools_ended"] or "") + failed,
        "errors": f"[red]{run['errors']}[/]" if run["errors"] else "",
        "tokens": human_count(run["total_tokens"] or None),
        "cost": human_usd(run["tree_cost_usd"]),
    }
