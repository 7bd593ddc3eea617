"""The Agent Framework's overview, panel for panel, over the view with its table's names."""

from __future__ import annotations

from grafana_foundation_sdk.builders import piechart
from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.agent_framework import EVENTS, HOURLY, TAG, UNITS, figure, variables
from runfold.deploy.grafana.boards import Board, Rows
from runfold.deploy.grafana.panels import (
    MS,
    PERCENT,
    Said,
    Steps,
    graph_panel,
    pie_panel,
    stat_panel,
    table_panel,
)
from runfold.deploy.grafana.questions import both

_BOARD = Board(
    "agent-overview",
    "Agent Framework: overview",
    "Decisions of hooks and agents, as the Agent Framework's own dashboard tells them.",
    tag=TAG,
)
_POSITIVE = "decision in ('APPROVE', 'CONFIRM', 'SUCCESS', 'CONTINUE')"
_DENIED = "decision = 'DENY'"
_IS_DIRECT, _IS_LAZY = "mode = 'direct'", "mode = 'lazy'"
_IS_LLM, _IS_TYPESCRIPT = "execution_type = 'llm'", "execution_type = 'typescript'"


def _share(condition: str) -> str:
    return f"100.0 * count(*) filter (where {condition}) / nullif(count(*), 0)"


_APPROVED: Steps = ((80, "yellow"), (95, "green"))
_FIGURES = [
    stat_panel(figure("Total Events", "Events in the time range.", "count(*) as events")),
    stat_panel(
        figure(
            "Approval Rate",
            "The share of APPROVE, CONFIRM, SUCCESS and CONTINUE among all decisions.",
            f"coalesce({_share(_POSITIVE)}, 0) as share",
            unit=PERCENT,
        ),
        _APPROVED,
        below="red",
        decimals=1,
    ),
    stat_panel(
        figure(
            "Avg Latency (p95)",
            "95 of 100 events took no longer.",
            "percentile_cont(0.95) within group (order by latency_ms) as latency",
            unit=MS,
        ),
        ((1000, "yellow"), (5000, "red")),
    ),
    stat_panel(figure("Active Hosts", "Hosts with events.", "count(distinct host_id) as hosts")),
    stat_panel(
        figure("Active Agents", "Agents with events.", "count(distinct agent_name) as agents")
    ),
    stat_panel(
        figure("Distinct Models", "Models that were used.", "count(distinct model_name) as models")
    ),
    stat_panel(
        figure(
            "Success Rate",
            "The share of events that say success.",
            f"{_share('success')} as share",
            unit=PERCENT,
        ),
        decimals=1,
    ),
    stat_panel(
        figure(
            "LLM Events",
            "Events of models.",
            "count(*) filter (where execution_type = 'llm') as events",
        )
    ),
]
_OVER_TIME = [
    graph_panel(
        Said(
            "Decisions Over Time",
            "Decisions by the hour.",
            f"select {HOURLY},\n"
            "       count(*) filter (where decision = 'CONTINUE') as \"Continued\",\n"
            "       count(*) filter (where decision in ('APPROVE', 'CONFIRM', 'SUCCESS'))"
            ' as "Approved",\n'
            "       count(*) filter (where decision = 'DENY') as \"Denied\",\n"
            "       count(*) filter (where decision = 'ERROR') as \"Errors\"\n"
            f"{EVENTS}\ngroup by 1\norder by 1",
            width=12,
        ),
        bars=True,
    ),
    graph_panel(
        Said(
            "Tool Denial Rate",
            "The share of DENY among all events of an hour.",
            f"select {HOURLY}, {_share(_DENIED)} as denied\n{EVENTS}\ngroup by 1\norder by 1",
            PERCENT,
            width=12,
        ),
        ((20, "red"),),
    ),
]
_STATISTICS = [
    table_panel(
        Said(
            "Agent Statistics",
            "Each agent: events, sessions, decisions, and how it ran.",
            "select agent_name, count(*) as events, count(distinct session_id) as sessions,\n"
            "       count(*) filter (where decision = 'DENY') as denials,\n"
            "       count(*) filter (where not success) as errors,\n"
            f"       {_share(_POSITIVE)} as approval,\n"
            f"       {_share('success')} as success,\n"
            f"       {_share(_IS_DIRECT)} as direct,\n"
            f"       {_share(_IS_LAZY)} as lazy,\n"
            f"       {_share(_IS_LLM)} as llm,\n"
            f"       {_share(_IS_TYPESCRIPT)} as typescript,\n"
            "       avg(latency_ms) filter (where execution_type = 'llm') as latency,\n"
            "       sum(error_count) as error_count, max(created_at) as last_seen\n"
            f"{EVENTS}\ngroup by 1\norder by events desc, agent_name",
            width=24,
        ),
        units=UNITS,
    ),
    table_panel(
        Said(
            "Host Health",
            "Each host: events, sessions and decisions.",
            "select host_id, count(*) as events, count(distinct session_id) as sessions,\n"
            "       count(*) filter (where decision = 'DENY') as denials,\n"
            "       count(*) filter (where not success) as errors, max(created_at) as last_seen,\n"
            f"       {_share(_POSITIVE)} as approval,\n"
            f"       {_share('success')} as success\n"
            f"{EVENTS}\ngroup by 1\norder by events desc, host_id",
            width=24,
        ),
        units=UNITS,
    ),
    table_panel(
        Said(
            "Error Statistics",
            "ERROR decisions of each agent and tier of models; only where there are some.",
            "select agent_name, coalesce(model_tier, 'N/A') as model_tier,\n"
            "       count(*) filter (where decision = 'ERROR') as errors, count(*) as events,\n"
            "       round(100.0 * count(*) filter (where decision = 'ERROR') / count(*), 2)\n"
            f"           as error_share\n{EVENTS}\ngroup by 1, 2\n"
            "having count(*) filter (where decision = 'ERROR') > 0\norder by errors desc, 1, 2",
            width=24,
            height=6,
        ),
        units=UNITS,
    ),
]


def _pie(title: str, column: str) -> piechart.Panel:
    sql = (
        f"select {column}, count(*) as events\n"
        f"{both(EVENTS, f'{column} is not null')}\ngroup by 1\norder by 2 desc, 1"
    )
    return pie_panel(Said(title, f"Events by {column}.", sql, width=6, height=7))


_PIES = [
    _pie("Events per Host", "host_id"),
    _pie("Events per Agent", "agent_name"),
    _pie("Model Usage (Tier)", "model_tier"),
    _pie("Model Names", "model_name"),
    _pie("Hook Activity", "hook_name"),
    _pie("Event Types", "event_type"),
    _pie("Mode Distribution", "mode"),
    _pie("Decision Distribution", "decision"),
    _pie("Execution Type", "execution_type"),
    _pie("Client Versions", "client_version"),
]


def build() -> Dashboard:
    """Return the dashboard of decisions."""
    rows: Rows = {
        "Together": _FIGURES,
        "Over time": _OVER_TIME,
        "Statistics": _STATISTICS,
        "Shares": _PIES,
    }
    return _BOARD.build(variables(), rows)
