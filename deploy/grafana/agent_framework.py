"""The Agent Framework's events, as both of its dashboards ask for them."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from runfold.deploy.grafana.boards import choice
from runfold.deploy.grafana.panels import COUNT, MS, PERCENT, USD, Said
from runfold.deploy.grafana.questions import both, chosen

TAG = "agent-framework"
_TABLE = "agent_framework.telemetry_events"
_CHOSEN = (chosen("agent_name", "agent"), chosen("host_id", "host"), chosen("model_name", "model"))
EVER = both(f"from {_TABLE}\nwhere execution_type = 'llm'", *_CHOSEN)
EVENTS = both(f"from {_TABLE}\nwhere $__timeFilter(created_at)", *_CHOSEN)
CALLS = both(EVENTS, "execution_type = 'llm'")
HOURLY = "$__timeGroupAlias(created_at, 1h)"
UNITS = {
    "approval": PERCENT, "success": PERCENT, "direct": PERCENT, "lazy": PERCENT, "llm": PERCENT,
    "typescript": PERCENT, "error_share": PERCENT, "cache_hits": PERCENT, "latency": MS,
    "cost": USD, "mean_cost": USD,
}  # fmt: skip


def figure(
    title: str, description: str, asked: str, *, source: str = EVENTS, unit: str = COUNT
) -> Said:
    """Return a panel of one figure."""
    return Said(title, description, f"select {asked}\n{source}", unit, width=3, height=4)


def variables() -> list[dashboard.QueryVariable]:
    """Return the variables of both dashboards."""
    names = {"agent": "agent_name", "host": "host_id", "model": "model_name"}
    return [
        choice(
            name,
            name.capitalize(),
            f"By {column}.",
            f"select distinct {column} from {_TABLE}\n"
            f"where $__timeFilter(created_at) and {column} is not null\norder by 1",
        )
        for name, column in names.items()
    ]
