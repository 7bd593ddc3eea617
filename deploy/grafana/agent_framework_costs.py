"""The Agent Framework's LLM costs, panel for panel, over the view with its table's names."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.agent_framework import (
    CALLS,
    EVER,
    HOURLY,
    TAG,
    UNITS,
    figure,
    variables,
)
from runfold.deploy.grafana.boards import Board, Rows
from runfold.deploy.grafana.panels import (
    PERCENT,
    USD,
    Said,
    graph_panel,
    pie_panel,
    stat_panel,
    table_panel,
)

_BOARD = Board(
    "llm-costs",
    "Agent Framework: LLM costs",
    "What calls of models cost, as the Agent Framework's own dashboard tells it.",
    tag=TAG,
)
_CACHED = "100.0 * sum(cached_tokens) / nullif(sum(prompt_tokens), 0)"

_SPENDING = [
    stat_panel(
        figure("Total Cost", "In the time range.", "sum(cost) as cost", source=CALLS, unit=USD),
        ((10, "yellow"), (50, "red")),
    ),
    stat_panel(
        figure(
            "Avg Cost per Request",
            "Of the requests whose cost is known.",
            "avg(cost) as cost",
            source=CALLS,
            unit=USD,
        )
    ),
    stat_panel(
        figure("Total Tokens", "In the time range.", "sum(total_tokens) as tokens", source=CALLS)
    ),
    stat_panel(
        figure(
            "Total Cost (All Time)",
            "Whatever the time range.",
            "sum(cost) as cost",
            source=EVER,
            unit=USD,
        )
    ),
    stat_panel(figure("LLM Requests", "Events of models.", "count(*) as requests", source=CALLS)),
    stat_panel(
        figure(
            "Avg Tokens per Request",
            "Tokens of a request, in the mean.",
            "avg(total_tokens) as tokens",
            source=CALLS,
        )
    ),
    stat_panel(
        figure(
            "Cache Hit Rate",
            "The share of prompt tokens that came from a cache.",
            f"{_CACHED} as share",
            source=CALLS,
            unit=PERCENT,
        )
    ),
    stat_panel(
        figure(
            "Avg Daily Cost (Active Days)",
            "The mean over all days on which something was spent, whatever the time range.",
            "avg(cost) as cost",
            source="from (\n    select (created_at at time zone 'UTC')::date as day,"
            f" sum(cost) as cost\n    {EVER}\n    group by 1\n    having sum(cost) > 0\n) as days",
            unit=USD,
        )
    ),
]
_SPENT_OVER_TIME = [
    graph_panel(
        Said(
            "Cost Over Time",
            "What was spent in each hour.",
            f"select {HOURLY}, sum(cost) as cost\n{CALLS}\n      and cost is not null\n"
            "group by 1\norder by 1",
            USD,
            width=12,
        )
    ),
    graph_panel(
        Said(
            "Tokens Over Time",
            "Tokens of each hour; prompt without cached ones, completion without reasoning.",
            f"select {HOURLY},\n"
            '       sum(prompt_tokens - coalesce(cached_tokens, 0)) as "Prompt",\n'
            '       sum(completion_tokens - coalesce(reasoning_tokens, 0)) as "Completion",\n'
            '       sum(cached_tokens) as "Cached", sum(reasoning_tokens) as "Reasoning"\n'
            f"{CALLS}\ngroup by 1\norder by 1",
            width=12,
        ),
        bars=True,
    ),
]
_COST = "count(*) as requests, sum(cost) as cost, avg(cost) as mean_cost"
_SPENT_BY = [
    *(
        table_panel(
            Said(
                f"Cost per {name}",
                "Requests whose cost is known.",
                f"select {column}, {_COST},\n       sum(total_tokens) as tokens\n"
                f"{CALLS}\n      and cost is not null\ngroup by 1\norder by cost desc, 1",
                width=12,
            ),
            units=UNITS,
        )
        for name, column in (("Agent", "agent_name"), ("Host", "host_id"))
    ),
    table_panel(
        Said(
            "Agent Cost Statistics",
            "Each agent's requests, also those whose cost is not known.",
            f"select agent_name, {_COST},\n       sum(prompt_tokens) as prompt,"
            " sum(completion_tokens) as completion,\n       sum(cached_tokens) as cached,"
            " sum(reasoning_tokens) as reasoning,\n       sum(total_tokens) as tokens,"
            f"\n       {_CACHED} as cache_hits, avg(latency_ms) as latency\n"
            f"{CALLS}\ngroup by 1\norder by cost desc nulls last, 1",
            width=24,
        ),
        units=UNITS,
    ),
    table_panel(
        Said(
            "Daily Cost Summary",
            "The last 30 UTC days on which something was spent, whatever the time range.",
            "select (created_at at time zone 'UTC')::date as day, count(*) as requests,\n"
            "       sum(cost) as cost, sum(total_tokens) as tokens,\n"
            "       count(distinct agent_name) as agents, count(distinct host_id) as hosts\n"
            f"{EVER}\ngroup by 1\nhaving sum(cost) > 0\norder by 1 desc\nlimit 30",
            width=24,
        ),
        units=UNITS,
    ),
    *(
        pie_panel(
            Said(
                title,
                f"What was spent, by {column}.",
                f"select {column}, sum(cost) as cost\n{CALLS}\n"
                f"      and cost is not null and {column} is not null\n"
                "group by 1\norder by 2 desc, 1",
                USD,
                width=12,
            )
        )
        for title, column in (
            ("Cost by Model", "model_name"),
            ("Cost by Model Tier", "model_tier"),
        )
    ),
]


def build() -> Dashboard:
    """Return the dashboard of costs."""
    rows: Rows = {"Together": _SPENDING, "Over time": _SPENT_OVER_TIME, "Who and what": _SPENT_BY}
    return _BOARD.build(variables(), rows)
