"""The fleet overview: what ran, how it ended, and what it took."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.boards import Board, Rows
from runfold.deploy.grafana.drilling import BAD, RUNS, TO_AGENT, TO_RUN, of_runs
from runfold.deploy.grafana.panels import (
    MS,
    PERCENT,
    USD,
    Said,
    graph_panel,
    pie_panel,
    stat_panel,
    table_panel,
)
from runfold.deploy.grafana.questions import buckets

_BOARD = Board(
    "runfold-fleet",
    "Fleet",
    "All agents: what ran, how it ended, what it took. Click an agent or a run to go on.",
)
_BAD_SHARE = ((5, "yellow"), (20, "red"))

_FIGURES = [
    stat_panel(
        Said(
            "Runs",
            "Runs that began in the time range, sub-agents included.",
            f"select count(*) as runs from runfold.runs\nwhere {RUNS}",
            width=3,
            height=4,
        )
    ),
    stat_panel(
        Said(
            "Running",
            "Of these runs, those that are still open and were heard of lately.",
            "select count(*) filter (where status in ('pending', 'running')) as running\n"
            f"from runfold.runs\nwhere {RUNS}",
            width=3,
            height=4,
        )
    ),
    stat_panel(
        Said(
            "Orphaned",
            "Open runs that went silent for longer than they may: their process is gone.",
            "select count(*) filter (where status = 'orphaned') as orphaned\n"
            f"from runfold.runs\nwhere {RUNS}",
            width=3,
            height=4,
        ),
        ((1, "yellow"), (5, "red")),
    ),
    stat_panel(
        Said(
            "Ended badly",
            "The share of runs that failed, took too long or were orphaned.",
            f"select 100.0 * count(*) filter (where {BAD}) / nullif(count(*), 0) as share\n"
            f"from runfold.runs\nwhere {RUNS}",
            PERCENT,
            width=3,
            height=4,
        ),
        _BAD_SHARE,
        decimals=1,
    ),
    stat_panel(
        Said(
            "Errors",
            "Errors that these runs told of, also those that they survived.",
            f"select coalesce(sum(errors), 0) as errors from runfold.runs\nwhere {RUNS}",
            width=3,
            height=4,
        )
    ),
    stat_panel(
        Said(
            "Duration, p95",
            "95 of 100 ended runs took no longer than this.",
            "select percentile_cont(0.95) within group (order by duration_ms) as duration\n"
            f"from runfold.runs\nwhere {RUNS}\n      and ended_at is not null",
            MS,
            width=3,
            height=4,
        )
    ),
    stat_panel(
        Said(
            "Tokens",
            "Tokens of these runs: input, output, and read from and written to caches.",
            f"select coalesce(sum(total_tokens), 0) as tokens from runfold.runs\nwhere {RUNS}",
            width=3,
            height=4,
        )
    ),
    stat_panel(
        Said(
            "Cost",
            "What these runs cost. Sub-agents are runs of their own, so nothing counts twice.",
            f"select coalesce(sum(cost_usd), 0) as cost from runfold.runs\nwhere {RUNS}",
            USD,
            width=3,
            height=4,
        )
    ),
]

_OVER_TIME = [
    graph_panel(
        Said(
            "Runs by status",
            "Runs by the moment at which they began, and how they stand now.",
            f"select {buckets('started_at')}, status as metric, count(*) as runs\n"
            f"from runfold.runs\nwhere {RUNS}\ngroup by 1, 2\norder by 1",
            width=10,
        ),
        bars=True,
    ),
    pie_panel(
        Said(
            "Status",
            "How the runs of the time range stand now.",
            f"select status, count(*) as runs from runfold.runs\nwhere {RUNS}\n"
            "group by 1\norder by 2 desc",
            width=6,
        )
    ),
    graph_panel(
        Said(
            "Cost by agent",
            "What runs cost, by the moment at which they began.",
            f"select {buckets('started_at')}, coalesce(agent_name, 'unknown') as metric,\n"
            f"       sum(cost_usd) as cost\nfrom runfold.runs\nwhere {RUNS}\n"
            "group by 1, 2\nhaving sum(cost_usd) > 0\norder by 1",
            USD,
            width=8,
        ),
        bars=True,
    ),
]

_GROUPED = f"""
       count(*) as runs,
       count(*) filter (where {BAD}) as ended_badly,
       100.0 * count(*) filter (where {BAD}) / count(*) as bad_share,
       sum(errors) as errors,
       percentile_cont(0.95) within group (order by duration_ms) as duration_p95,
       sum(total_tokens) as tokens, sum(cost_usd) as cost,
       max(last_seen_at) as last_seen
from runfold.runs
where {RUNS}"""
_UNITS = {"bad_share": PERCENT, "duration_p95": MS, "cost": USD}
_STEPS = {"bad_share": _BAD_SHARE}

_TABLES = [
    table_panel(
        Said(
            "Agents",
            "Each agent's runs. Click its name to see them one by one.",
            f"select agent_name, project,{_GROUPED}\ngroup by 1, 2\n"
            "order by runs desc, agent_name, project\nlimit 200",
            width=24,
            height=10,
        ),
        units=_UNITS,
        links=TO_AGENT,
        steps=_STEPS,
    ),
    table_panel(
        Said(
            "Hosts",
            "The machines that runs were on.",
            f"select host,{_GROUPED}\ngroup by 1\norder by runs desc, host\nlimit 100",
            width=24,
            height=8,
        ),
        units=_UNITS,
        steps=_STEPS,
    ),
    table_panel(
        Said(
            "Newest runs",
            "The last 100 runs that began. Cost with sub-agents is the run's and that of all below"
            " it. Click a run to see its events and its sub-agents.",
            "select run_id, agent_name, project, host, status, started_at, duration_ms, events,\n"
            "       errors, total_tokens, cost_usd, tree_cost_usd, children, missing_events,\n"
            "       error_message\n"
            f"from runfold.runs\nwhere {RUNS}\norder by started_at desc, run_id\nlimit 100",
            width=24,
            height=12,
        ),
        units={"duration_ms": MS, "cost_usd": USD, "tree_cost_usd": USD},
        links=TO_RUN | TO_AGENT,
    ),
]


def build() -> Dashboard:
    """Return the dashboard."""
    rows: Rows = {"Now": _FIGURES, "Over time": _OVER_TIME, "Agents and runs": _TABLES}
    return _BOARD.build(of_runs("project", "agent", "host", "model"), rows)
