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
        f"/d/{EXPLORER}?var-agent={_VALUE}&${{project:queryparam}}&{_RANGE}",
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

_NAMES = {
    "project": ("Project", "The project that an agent works for."),
    "agent": ("Agent", "The agent by its name."),
    "host": ("Host", "The machine that a run was on."),
    "model": ("Model", "The model that a run said it uses, or called last."),
}
_COLUMNS = {"agent": "agent_name"}


def of_runs(*names: str) -> list[dashboard.QueryVariable]:
    """Return variables over the runs of the time range, each narrowed by those before it."""
    made = []
    for number, name in enumerate(names):
        column = _COLUMNS.get(name, name)
        narrowed = [chosen(_COLUMNS.get(each, each), each) for each in names[:number]]
        where = both("$__timeFilter(started_at)", f"{column} is not null", *narrowed)
        sql = f"select distinct {column} from runfold.runs\nwhere {where}\norder by 1"
        made.append(choice(name, *_NAMES[name], sql))
    return made
