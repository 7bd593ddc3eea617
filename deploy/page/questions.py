"""What the page asks of the lake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from runfold.schemas.vocabulary import RunStatus
from runfold.sinks.query import LakeQueries

RUNS_SHOWN = 100
AGENTS_SHOWN = 12
"""Until all are asked for."""
EVENTS_SHOWN = 500
FILTERS = ("agent_name", "status", "project")
"""The columns of `runs` by which the overview may be narrowed."""
_BAD = f"('{RunStatus.FAILURE}', '{RunStatus.TIMEOUT}', 'orphaned')"
_LAST_DAY = "started_at > now() - interval 1 day"

Rows = list[dict[str, Any]]


def fleet(
    lake: LakeQueries, narrowed: Mapping[str, str], project: str | None, *, all_agents: bool = False
) -> dict[str, Any]:
    """Return figures of the last day, the agents, and the newest runs.

    Shape: `narrowed` has values for some of FILTERS; of other projects than `project` nothing is
    told where it is set.
    """
    wanted = {name: value for name, value in narrowed.items() if name in FILTERS and value}
    if project is not None:
        wanted["project"] = project
    where = " and ".join([f"{name} = ?" for name in wanted] or ["true"])
    values = list(wanted.values())
    figures = lake.rows(
        f"select count(*) as runs, count(*) filter (status = 'running') as running, "
        f"count(*) filter (status in {_BAD}) as bad, sum(errors)::bigint as errors, "
        f"sum(cost_usd) as cost_usd, sum(total_tokens)::bigint as tokens "
        f"from runs where {_LAST_DAY} and {where}",
        values,
    )[0]
    most = "" if all_agents else f"limit {AGENTS_SHOWN + 1}"
    agents = lake.rows(
        f"select agent_name, count(*) as runs, count(*) filter (status in {_BAD}) as bad, "
        f"sum(cost_usd) as cost_usd, sum(total_tokens)::bigint as tokens, "
        f"max(last_seen_at) as last_seen_at from runs where {where} "
        f"group by 1 order by last_seen_at desc, agent_name {most}",
        values,
    )
    runs = lake.rows(
        "select run_id, parent_run_id, agent_name, project, status, started_at, duration_ms, "
        "events, errors, total_tokens, tree_cost_usd, children, error_message, missing_events "
        f"from runs where {where} order by started_at desc nulls last, run_id limit {RUNS_SHOWN}",
        values,
    )
    shown = agents if all_agents else agents[:AGENTS_SHOWN]
    return {
        "figures": figures,
        "agents": shown,
        "more_agents": f"?{urlencode(wanted | {'agents': 'all'})}" if shown != agents else "",
        "runs": runs,
        "narrowed": wanted,
    }


def one_run(lake: LakeQueries, run_id: str, project: str | None) -> dict[str, Any] | None:
    """Return a run with its events and its direct sub-runs; None where there is none to see."""
    found = lake.rows("select * from runs where run_id = ?", [run_id])
    if not found or (project is not None and found[0]["project"] != project):
        return None
    run = found[0]
    days = [run["first_recorded_at"].date(), run["last_recorded_at"].date()]
    events = lake.rows(
        "select occurred_at, event_type, coalesce(tool_name, name, model) as name, status, "
        "duration_ms, input_tokens, output_tokens, cost_usd, value, unit, decision, error_type, "
        'error_message, attributes, "offset" from events where run_id = ? and topic_id = ? '
        "and date between ? - interval 1 day and ? + interval 1 day "
        f"and event_type <> 'run.heartbeat' order by occurred_at, \"offset\" limit {EVENTS_SHOWN}",
        [run_id, run["topic_id"], *days],
    )
    children = lake.rows(
        "select run_id, agent_name, status, started_at, duration_ms, tree_cost_usd, errors "
        "from runs where parent_run_id = ? and project is not distinct from coalesce(?, project) "
        f"order by started_at limit {RUNS_SHOWN}",
        [run_id, project],
    )
    return {"run": run, "events": events, "children": children}
