"""Costs and tokens: by day, agent, model and project, alone and with sub-agents."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.boards import Board, Rows
from runfold.deploy.grafana.drilling import TO_AGENT, TO_RUN, choices
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
from runfold.deploy.grafana.questions import at_days, both, chosen, in_days

_BOARD = Board(
    "runfold-costs",
    "Costs and tokens",
    "What models were called and what that cost, by UTC day. The figures stay when events go.",
    since="now-30d",
)
_DAYS = " Whole UTC days that the time range touches."
_WHO = (chosen("project"), chosen("agent_name", "agent"), chosen("model"))
_SPENT = "from runfold.costs_daily\nwhere " + both(in_days("day"), *_WHO)
_TOKENS = "input_tokens + output_tokens + cache_read_tokens + cache_write_tokens"
_READ = "input_tokens + cache_read_tokens + cache_write_tokens"


def _figure(title: str, description: str, column: str, unit: str = "short") -> Said:
    return Said(title, description + _DAYS, f"select {column}\n{_SPENT}", unit, height=4)


_FIGURES = [
    stat_panel(_figure("Cost", "What was spent.", "sum(cost_usd) as cost", USD)),
    stat_panel(_figure("Calls", "Calls of models.", "sum(llm_calls) as calls")),
    stat_panel(
        _figure("Tokens", "Input, output, cache reads and writes.", f"sum({_TOKENS}) as tokens")
    ),
    stat_panel(
        _figure("Output", "Tokens that models wrote.", "sum(output_tokens) as output_tokens")
    ),
    stat_panel(
        _figure(
            "Read from caches",
            "The share of all that models read which came from a cache; more is cheaper.",
            f"100.0 * sum(cache_read_tokens) / nullif(sum({_READ}), 0) as share",
            PERCENT,
        ),
        decimals=1,
    ),
    stat_panel(
        _figure(
            "Cost of a call",
            "The mean cost of a call of a model.",
            "sum(cost_usd) / nullif(sum(llm_calls), 0) as cost",
            USD,
        ),
        decimals=4,
    ),
]


def _by_day(title: str, description: str, name: str, column: str = "cost_usd") -> Said:
    sql = (
        f"select {at_days('day')}, coalesce({name}, 'unknown') as metric, sum({column}) as cost\n"
        f"{_SPENT}\ngroup by 1, 2\nhaving sum({column}) > 0\norder by 1"
    )
    return Said(title, description + _DAYS, sql, USD, width=12)


_BY_DAY = [
    graph_panel(_by_day("By agent", "Own cost of each agent.", "agent_name"), bars=True),
    graph_panel(_by_day("By model", "Cost of each model.", "model"), bars=True),
    graph_panel(
        Said(
            "Tokens",
            "Tokens by kind." + _DAYS,
            f"select {at_days('day')}, sum(input_tokens) as input, sum(output_tokens) as output,\n"
            "       sum(cache_read_tokens) as cache_read, sum(cache_write_tokens) as cache_write,\n"
            f"       sum(reasoning_tokens) as reasoning\n{_SPENT}\ngroup by 1\norder by 1",
            width=16,
        ),
        bars=True,
    ),
    pie_panel(
        Said(
            "By project",
            "What each project's agents cost." + _DAYS,
            f"select coalesce(project, 'unknown') as project, sum(cost_usd) as cost\n{_SPENT}\n"
            "group by 1\norder by 2 desc, 1",
            USD,
            width=8,
        )
    ),
]
_TABLES = [
    table_panel(
        Said(
            "Agents",
            "What each agent cost itself, and with all runs below its runs. The second may not be"
            " summed: what a sub-agent spent is in its caller's figure too." + _DAYS,
            "select agent_name, project, sum(llm_calls) as calls, sum(cost_usd) as own_cost,\n"
            "       sum(tree_cost_usd) as cost_with_sub_agents,\n"
            f"       sum({_TOKENS}) as own_tokens,\n"
            f"       sum(tree_tokens) as tokens_with_sub_agents\n{_SPENT}\ngroup by 1, 2\n"
            "order by cost_with_sub_agents desc, agent_name, project\nlimit 200",
            width=24,
            height=10,
        ),
        units={"own_cost": USD, "cost_with_sub_agents": USD},
        links=TO_AGENT,
    ),
    table_panel(
        Said(
            "Models",
            "Each model: calls, tokens, cost, and the cost of a million tokens." + _DAYS,
            "select provider, model, sum(llm_calls) as calls, sum(input_tokens) as input,\n"
            "       sum(output_tokens) as output, sum(cache_read_tokens) as cache_read,\n"
            "       sum(cache_write_tokens) as cache_write, sum(cost_usd) as cost,\n"
            f"       1e6 * sum(cost_usd) / nullif(sum({_TOKENS}), 0) as cost_of_a_million\n"
            f"{_SPENT}\ngroup by 1, 2\norder by cost desc, provider, model\nlimit 100",
            width=24,
        ),
        units={"cost": USD, "cost_of_a_million": USD},
    ),
    table_panel(
        Said(
            "Most expensive runs",
            "Runs that began in the time range, by what they and all runs below them cost.",
            "select run_id, agent_name, project, model, status, started_at, duration_ms,\n"
            "       llm_calls, total_tokens, cost_usd, tree_cost_usd, children\n"
            f"from runfold.runs\nwhere {both('$__timeFilter(started_at)', *_WHO)}\n"
            "order by tree_cost_usd desc, run_id\nlimit 50",
            width=24,
            height=10,
        ),
        units={"duration_ms": MS, "cost_usd": USD, "tree_cost_usd": USD},
        links=TO_RUN | TO_AGENT,
    ),
]


def build() -> Dashboard:
    """Return the dashboard."""
    rows: Rows = {"Together": _FIGURES, "By day": _BY_DAY, "Who and what": _TABLES}
    names = ("project", "agent", "model")
    return _BOARD.build(choices("runfold.costs_daily", in_days("day"), *names), rows)
