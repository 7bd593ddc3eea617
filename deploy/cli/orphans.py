"""What is said of runs whose producer went silent: since when, in which tool, and at what cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich import box
from rich.table import Table

from runfold.deploy.cli.tables import (
    human_ago,
    human_count,
    human_duration,
    human_usd,
    plain,
    styled,
)
from runfold.schemas.vocabulary import RunStatus


def is_orphaned(run: dict[str, Any]) -> bool:
    """Say whether a row of `runs` is a run that is taken for dead."""
    return run["status"] == RunStatus.ORPHANED.value and run["silent_ms"] is not None


def circumstances(run: dict[str, Any]) -> str:
    """Return how an orphaned run was left, as markup: its silence, its tool, its sub-runs."""
    said = [f"silent for {human_duration(run['silent_ms'])}"]
    if run["last_tool_open"]:
        open_ms = (run["last_seen_at"] - run["last_tool_at"]).total_seconds() * 1000
        said.append(f"died in tool {plain(_tool(run))} (open for {human_duration(open_ms)})")
    if run["open_children"]:
        plural = "s" if run["open_children"] > 1 else ""
        said.append(f"{run['open_children']} open sub-run{plural}")
    return ", ".join(said)


def orphans_table(found: list[dict[str, Any]], now: datetime, *, with_agent: bool) -> Table:
    """Return orphaned runs as a table: what each died in, had spent and left behind."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    if with_agent:
        table.add_column("agent", overflow="fold")
    table.add_column("died in", overflow="fold")
    for name in ("silent for", "started", "tokens", "cost", "open sub-runs"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in found:
        agent = [styled(plain(run["agent_name"]))] if with_agent else []
        table.add_row(
            styled(plain(run["run_id"])),
            *agent,
            styled(plain(_tool(run)) if run["last_tool_open"] else ""),
            human_duration(run["silent_ms"]),
            human_ago(run["started_at"], now),
            human_count(run["total_tokens"] or None),
            human_usd(run["tree_cost_usd"]),
            str(run["open_children"] or ""),
        )
    return table


def _tool(run: dict[str, Any]) -> str:
    return run["last_tool"] or "of no name"
