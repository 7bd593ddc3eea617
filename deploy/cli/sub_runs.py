"""The runs below a run: found, as they are or were, and drawn as a tree."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.tree import Tree

from runfold.deploy.cli.tables import coloured_status, human_duration, human_usd, plain, styled

if TYPE_CHECKING:
    from runfold.sinks.query import LakeQueries

Row = dict[str, Any]

_COLUMNS = (
    "run_id, parent_run_id, agent_name, status, recorded_status, started_at, duration_ms, events, "
    "total_tokens, cost_usd, last_tool, last_tool_open, first_recorded_at"
)


def descendants(lake_queries: LakeQueries, run_id: str) -> list[Row]:
    """Return all runs below a run, oldest first."""
    return lake_queries.rows(
        f"""
        with recursive sub_runs as materialized (
            select run_id, parent_run_id from lake_states where parent_run_id is not null
        ),
        below as (
            select ?::varchar as run_id
            union
            select sub_runs.run_id
            from below join sub_runs on sub_runs.parent_run_id = below.run_id
        )
        select {_COLUMNS}
        from runs where run_id in (select run_id from below) and run_id <> ?
        order by started_at, run_id
        """,
        [run_id, run_id],
    )


def descendants_at(
    lake_queries: LakeQueries, run_id: str, below: list[Row], at: datetime
) -> list[Row]:
    """Return those of `below` that were known to be below the run at that time, as they were."""
    if not below:
        return []
    first = min(below, key=lambda each: each["first_recorded_at"])
    places = ", ".join("?" for _ in below)
    return lake_queries.rows(
        f"""
        with recursive known as materialized (
            select {_COLUMNS} from runs_at(?, since := date '{day_before(first)}')
            where run_id in ({places})
        ),
        below as (
            select ?::varchar as run_id
            union
            select known.run_id from below join known on known.parent_run_id = below.run_id
        )
        select known.* from known join below using (run_id) order by started_at, run_id
        """,
        [at, *(each["run_id"] for each in below), run_id],
    )


def day_before(run: Row) -> str:
    """Return a day that all events of a run come after, whatever zone a reader's dates are in."""
    return str(run["first_recorded_at"].date() - timedelta(days=1))


def sub_run_tree(shown: Row, below: list[Row]) -> Tree:
    """Return the runs below `shown` as a tree."""
    tree = Tree(styled(f"sub-runs of [bold]{plain(shown['run_id'])}[/]"), guide_style="dim")
    places = {shown["run_id"]: tree}
    waiting = list(below)
    while waiting:
        for each in waiting:
            if each["parent_run_id"] in places:
                line = " ".join(
                    filter(None, (
                        plain(each["run_id"]), plain(each["agent_name"]),
                        coloured_status(each["status"]), human_duration(each["duration_ms"]),
                        human_usd(each["cost_usd"]),
                    ))
                )  # fmt: skip
                places[each["run_id"]] = places[each["parent_run_id"]].add(styled(line))
        rest = [each for each in waiting if each["run_id"] not in places]
        if len(rest) == len(waiting):
            break
        waiting = rest
    return tree
