"""The run explorer: from an agent to one of its runs, and from a run to its sub-agents."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.boards import Board, Rows, choice
from runfold.deploy.grafana.drilling import EXPLORER, TO_AGENT, TO_RUN, of_runs
from runfold.deploy.grafana.panels import (
    MS,
    USD,
    Said,
    bars_panel,
    graph_panel,
    stat_panel,
    table_panel,
)
from runfold.deploy.grafana.questions import both, buckets, chosen

_BOARD = Board(
    EXPLORER,
    "Run explorer",
    "One run: its events, tools, errors and cost, the runs above it and the sub-agents below it."
    " Choose an agent, then a run, or click a run.",
)
_WHATEVER = " Whatever the time range."
_RUNS = both("$__timeFilter(started_at)", chosen("project"), chosen("agent_name", "agent"))
_RUN = "run_id = ${run:sqlstring}"
_DEEPEST = 20

_TREE = f"""with recursive tree as (
    select run_id, 0 as depth from runfold.runs where {_RUN}
    union
    select below.run_id, tree.depth + 1
    from runfold.runs as below join tree on below.parent_run_id = tree.run_id
    where tree.depth < {_DEEPEST} and below.run_id <> below.parent_run_id
)"""
_ABOVE = f"""with recursive above as (
    select run_id, parent_run_id, 0 as height from runfold.runs where {_RUN}
    union
    select parent.run_id, parent.parent_run_id, above.height + 1
    from runfold.runs as parent join above on parent.run_id = above.parent_run_id
    where above.height < {_DEEPEST} and above.run_id <> above.parent_run_id
)"""
_OF_A_RUN = (
    "run_id, agent_name, status, started_at, duration_ms, events, errors,\n"
    "       total_tokens, cost_usd, tree_cost_usd, children"
)
_UNITS = {"duration_ms": MS, "cost_usd": USD, "tree_cost_usd": USD}


def _one(title: str, description: str, column: str, unit: str = "short") -> Said:
    sql = f"select {column} from runfold.runs where {_RUN}"
    return Said(title, description + _WHATEVER, sql, unit, width=3, height=4)


_CHOOSE = [
    table_panel(
        Said(
            "Runs",
            "The last 200 runs of the chosen agents that began in the time range. Click one.",
            f"select {_OF_A_RUN}, parent_run_id, error_message\n"
            f"from runfold.runs\nwhere {_RUNS}\norder by started_at desc, run_id\nlimit 200",
            width=24,
        ),
        units=_UNITS,
        links=TO_RUN | TO_AGENT,
    )
]
_THE_RUN = [
    stat_panel(_one("Duration", "How long the run took, or has taken so far.", "duration_ms", MS)),
    stat_panel(_one("Events", "Events of the run that count.", "events")),
    stat_panel(_one("Tools", "Tool calls that ended.", "tools_ended")),
    stat_panel(
        _one("Tools that failed", "Tool calls that ended badly.", "tools_failed"),
        ((1, "yellow"), (10, "red")),
    ),
    stat_panel(_one("Errors", "Errors that the run told of.", "errors"), ((1, "red"),)),
    stat_panel(
        _one("Missing events", "Events that the run numbered and nobody has.", "missing_events"),
        ((1, "red"),),
    ),
    stat_panel(_one("Cost", "What the run itself cost.", "cost_usd", USD)),
    stat_panel(
        _one("Cost with sub-agents", "The run and all runs below it.", "tree_cost_usd", USD)
    ),
    table_panel(
        Said(
            "The run",
            "What is known of the run." + _WHATEVER,
            "select run_id, agent_name, project, status, started_at, ended_at, last_seen_at, host,"
            "\n       environment, trigger_type, agent_version, model, last_tool, items_succeeded,"
            "\n       items_failed, git_repo, git_branch, git_commit_hash, error_type,"
            f" error_message\nfrom runfold.runs where {_RUN}",
            width=24,
            height=4,
        ),
        links=TO_AGENT,
    ),
]
_FAMILY = [
    table_panel(
        Said(
            "Runs above",
            "The run, who started it, and so on up; the outermost first." + _WHATEVER,
            f"{_ABOVE}\nselect above.height, {_OF_A_RUN.replace('run_id', 'runs.run_id', 1)}\n"
            "from above join runfold.runs as runs on runs.run_id = above.run_id\n"
            "order by above.height desc",
            width=12,
        ),
        units=_UNITS,
        links=TO_RUN | TO_AGENT,
    ),
    table_panel(
        Said(
            "Sub-agents",
            "All runs below the run; depth 1 are those that it started itself." + _WHATEVER,
            f"{_TREE}\nselect tree.depth, {_OF_A_RUN.replace('run_id', 'runs.run_id', 1)}\n"
            "from tree join runfold.runs as runs on runs.run_id = tree.run_id\n"
            "where tree.depth > 0\norder by tree.depth, runs.started_at, runs.run_id\nlimit 500",
            width=12,
        ),
        units=_UNITS,
        links=TO_RUN | TO_AGENT,
    ),
    bars_panel(
        Said(
            "Cost in the tree",
            "What the run and each kind of sub-agent below it cost themselves." + _WHATEVER,
            f"{_TREE}\nselect coalesce(runs.agent_name, 'unknown') as agent_name,\n"
            "       sum(runs.cost_usd) as cost\n"
            "from (select distinct run_id from tree) as members\n"
            "join runfold.runs as runs on runs.run_id = members.run_id\n"
            "group by 1\norder by 2 desc, 1",
            USD,
            width=8,
        )
    ),
    table_panel(
        Said(
            "Tools",
            "Each tool of the run: calls, how many failed, and how long they took." + _WHATEVER,
            "select tool_name, count(*) as calls,\n"
            "       count(*) filter (where lower(status) in ('failure', 'failed', 'error',"
            " 'timeout'))\n           as failed,\n"
            "       avg(duration_ms) as mean, max(duration_ms) as longest,"
            " sum(duration_ms) as together\n"
            f"from runfold.events_recent\nwhere {_RUN} and event_type = 'tool.ended'\n"
            "group by 1\norder by calls desc, tool_name",
            width=16,
        ),
        units={"mean": MS, "longest": MS, "together": MS},
        steps={"failed": ((1, "red"),)},
    ),
]
_HAPPENED = [
    graph_panel(
        Said(
            "Tokens of its calls",
            "Tokens of the run's calls of models in the time range, by kind.",
            f"select {buckets('occurred_at')},\n"
            "       coalesce(sum(input_tokens), 0) as input,"
            " coalesce(sum(output_tokens), 0) as output,\n"
            "       coalesce(sum(cache_read_tokens), 0) as cache_read,\n"
            "       coalesce(sum(cache_write_tokens), 0) as cache_write\n"
            f"from runfold.events_recent\nwhere $__timeFilter(occurred_at) and {_RUN}\n"
            "      and event_type = 'llm.called'\ngroup by 1\norder by 1",
            width=24,
        ),
        bars=True,
    ),
    table_panel(
        Said(
            "Errors",
            "Errors that the run told of, the last first." + _WHATEVER,
            "select occurred_at, event_type, error_type, error_message, tool_name, log_offset\n"
            f"from runfold.errors\nwhere {_RUN}\norder by occurred_at desc, log_offset desc\n"
            "limit 200",
            width=24,
            height=6,
        )
    ),
    table_panel(
        Said(
            "Events",
            "The first 1000 events of the run in the order in which they happened, heartbeats left"
            " out. Of the last 7 days; older ones are in the lake: runfold run ID." + _WHATEVER,
            "select occurred_at, event_type, coalesce(tool_name, name, model) as name, status,\n"
            "       duration_ms, input_tokens, output_tokens, cost_usd, value, unit, decision,\n"
            "       error_message, log_offset\n"
            f"from runfold.events_recent\nwhere {_RUN} and event_type <> 'run.heartbeat'\n"
            "order by occurred_at, log_offset\nlimit 1000",
            width=24,
            height=16,
        ),
        units={"duration_ms": MS, "cost_usd": USD},
    ),
]


def build() -> Dashboard:
    """Return the dashboard."""
    run = choice(
        "run",
        "Run",
        "A run of the chosen agents, the newest first; any run's id may be typed.",
        f"select run_id from runfold.runs\nwhere {_RUNS}\norder by started_at desc, run_id\n"
        "limit 500",
        many=False,
    )
    rows: Rows = {
        "Choose": _CHOOSE,
        "The run": _THE_RUN,
        "Above, below, and what was used": _FAMILY,
        "What happened": _HAPPENED,
    }
    return _BOARD.build([*of_runs("project", "agent"), run], rows)
