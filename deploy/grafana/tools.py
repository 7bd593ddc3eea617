"""Tools, errors, and what agents measured."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.boards import Board, Rows
from runfold.deploy.grafana.drilling import TO_AGENT, TO_RUN, choices
from runfold.deploy.grafana.panels import MS, PERCENT, Said, graph_panel, stat_panel, table_panel
from runfold.deploy.grafana.questions import at_days, both, buckets, chosen, in_days

_BOARD = Board(
    "runfold-tools",
    "Tools and errors",
    "Which tools are called, how often they fail, how long they take; which errors agents meet;"
    " what they measure.",
)
_DAYS = " Whole UTC days that the time range touches."
_RECENT = " Of the last 7 days."
_WHO = (chosen("project"), chosen("agent_name", "agent"))
_CALLS = "from runfold.tools_daily\nwhere " + both(
    in_days("day"), *_WHO, chosen("tool_name", "tool")
)
_ENDED = "from runfold.events_recent\nwhere " + both(
    "$__timeFilter(occurred_at)",
    "event_type = 'tool.ended'",
    *_WHO,
    chosen("tool_name", "tool"),
)
_ERRORS = "from runfold.errors\nwhere " + both("$__timeFilter(occurred_at)", *_WHO)
_MEASURED = "from runfold.metrics_hourly\nwhere " + both("$__timeFilter(hour)", *_WHO)
_SHARE = "100.0 * sum(failed) / nullif(sum(calls), 0)"
_BAD_SHARE = ((5, "yellow"), (20, "red"))


def _p(share: float) -> str:
    return f"percentile_cont({share}) within group (order by duration_ms)"


_FIGURES = [
    stat_panel(
        Said(
            "Calls", "Tool calls that ended." + _DAYS, f"select sum(calls) as calls\n{_CALLS}",
            height=4,
        )
    ),
    stat_panel(
        Said(
            "Failed", "Tool calls that ended badly." + _DAYS,
            f"select sum(failed) as failed\n{_CALLS}", height=4,
        )
    ),
    stat_panel(
        Said(
            "Failed, share", "The share of calls that ended badly." + _DAYS,
            f"select {_SHARE} as share\n{_CALLS}", PERCENT, height=4,
        ),
        _BAD_SHARE,
        decimals=1,
    ),
    stat_panel(
        Said(
            "Duration, p95", "95 of 100 calls took no longer than this." + _RECENT,
            f"select {_p(0.95)} as duration\n{_ENDED}", MS, height=4,
        )
    ),
    stat_panel(
        Said(
            "Errors", "Events that tell of an error.",
            f"select count(*) as errors\n{_ERRORS}", height=4,
        )
    ),
    stat_panel(
        Said(
            "Runs with errors", "Runs that told of an error.",
            f"select count(distinct run_id) as runs\n{_ERRORS}", height=4,
        )
    ),
]  # fmt: skip


def _by_day(title: str, description: str, column: str) -> Said:
    sql = (
        f"select {at_days('day')}, coalesce(tool_name, 'unknown') as metric,\n"
        f"       sum({column}) as {column}\n{_CALLS}\ngroup by 1, 2\n"
        f"having sum({column}) > 0\norder by 1"
    )
    return Said(title, description + _DAYS, sql, width=8)


_TOOLS = [
    graph_panel(_by_day("Calls by tool", "Calls of each tool.", "calls"), bars=True),
    graph_panel(_by_day("Failures by tool", "Calls that ended badly.", "failed"), bars=True),
    graph_panel(
        Said(
            "How long calls take",
            "Half, 95 and 99 of 100 calls took no longer." + _RECENT,
            f"select {buckets('occurred_at')}, {_p(0.5)} as p50,\n       {_p(0.95)} as p95,\n"
            f"       {_p(0.99)} as p99\n{_ENDED}\n      and duration_ms is not null\n"
            "group by 1\norder by 1",
            MS,
            width=8,
        )
    ),
    table_panel(
        Said(
            "Tools",
            "Each tool of each agent: calls, failures, and how long they took." + _DAYS,
            "select tool_name, agent_name, project, sum(calls) as calls, sum(failed) as failed,\n"
            f"       {_SHARE} as failed_share,\n"
            "       sum(duration_ms_sum) / nullif(sum(duration_count), 0) as mean,\n"
            f"       max(duration_ms_max) as longest\n{_CALLS}\ngroup by 1, 2, 3\n"
            "order by calls desc, tool_name, agent_name, project\nlimit 500",
            width=24,
            height=10,
        ),
        units={"failed_share": PERCENT, "mean": MS, "longest": MS},
        links=TO_AGENT,
        steps={"failed_share": _BAD_SHARE},
    ),
]
_TROUBLE = [
    graph_panel(
        Said(
            "Errors by type",
            "Events that tell of an error, by its type.",
            f"select {buckets('occurred_at')}, coalesce(error_type, 'untyped') as metric,\n"
            f"       count(*) as errors\n{_ERRORS}\ngroup by 1, 2\norder by 1",
            width=10,
        ),
        bars=True,
    ),
    table_panel(
        Said(
            "Types of errors",
            "Each type and message: how often, in how many runs, and when last.",
            "select error_type, error_message, count(*) as errors,"
            " count(distinct run_id) as runs,\n       count(distinct agent_name) as agents,"
            f" max(occurred_at) as last_seen\n{_ERRORS}\n"
            "group by 1, 2\norder by errors desc, error_type, error_message\nlimit 100",
            width=14,
        )
    ),
    table_panel(
        Said(
            "Newest errors",
            "The last 200. Click a run to see what led to it.",
            "select occurred_at, run_id, agent_name, project, event_type, error_type,\n"
            f"       error_message, tool_name, log_offset\n{_ERRORS}\n"
            "order by occurred_at desc, log_offset desc\nlimit 200",
            width=24,
            height=10,
        ),
        links=TO_RUN | TO_AGENT,
    ),
]
_MEASUREMENTS = [
    graph_panel(
        Said(
            "Measurements",
            "The mean of each metric, by hour. In the metric's own unit: see the table.",
            f'select hour as "time", metric, sum(sum) / sum(count) as mean\n{_MEASURED}\n'
            "group by 1, 2\norder by 1",
            width=12,
        )
    ),
    table_panel(
        Said(
            "Metrics",
            "Each metric of each agent, over the hours that began in the time range.",
            "select metric, unit, agent_name, sum(count) as count, sum(sum) / sum(count) as mean,\n"
            f"       min(min) as least, max(max) as most\n{_MEASURED}\ngroup by 1, 2, 3\n"
            "order by metric, unit, agent_name\nlimit 200",
            width=12,
        ),
        links=TO_AGENT,
    ),
]


def build() -> Dashboard:
    """Return the dashboard."""
    rows: Rows = {
        "Together": _FIGURES,
        "Tools": _TOOLS,
        "Errors": _TROUBLE,
        "Measurements": _MEASUREMENTS,
    }
    names = ("project", "agent", "tool")
    return _BOARD.build(choices("runfold.tools_daily", in_days("day"), *names), rows)
