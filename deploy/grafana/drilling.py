"""Variables that several dashboards share, and the way from an agent to a run to its sub-agents."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from runfold.deploy.grafana.boards import choice
from runfold.deploy.grafana.questions import both, chosen

EXPLORER = "runfold-runs"
_RANGE = "${__url_time_range}"
_VALUE = "${__value.raw:percentencode}"

TO_AGENT = {
    "agent_name": (
        "Show the runs of this agent",
        f"/d/{EXPLORER}?var-agent={_VALUE}&{_RANGE}",
    )
}
TO_RUN = {"run_id": ("Show this run", f"/d/{EXPLORER}?var-run={_VALUE}&{_RANGE}")}

RUNS = both(
    "$__timeFilter(started_at)",
    chosen("project"),
    chosen("agent_name", "agent"),
    chosen("host"),
    chosen("model"),
)
"""The runs that began in the time range, of what is chosen."""
BAD = "status in ('failure', 'timeout', 'orphaned')"

_CHOICES = {
    "project": ("project", "Project", "The project that an agent works for."),
    "agent": ("agent_name", "Agent", "The agent by its name."),
    "host": ("host", "Host", "The machine that a run was on."),
    "model": ("model", "Model", "The model that a run said it uses, or that was called."),
    "tool": ("tool_name", "Tool", "The tool that was called."),
}


def choices(table: str, within: str, *names: str) -> list[dashboard.QueryVariable]:
    """Return variables over the rows `within` the time range, each narrowed by those before it."""
    made = []
    for number, name in enumerate(names):
        column, label, description = _CHOICES[name]
        narrowed = [chosen(_CHOICES[each][0], each) for each in names[:number]]
        where = both(within, f"{column} is not null", *narrowed)
        sql = f"select distinct {column} from {table}\nwhere {where}\norder by 1"
        made.append(choice(name, label, description, sql))
    return made


def of_runs(*names: str) -> list[dashboard.QueryVariable]:
    """Return variables over the runs that began in the time range."""
    return choices("runfold.runs", "$__timeFilter(started_at)", *names)
