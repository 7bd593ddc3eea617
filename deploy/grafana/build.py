"""`python -m runfold.deploy.grafana.build`: write the dashboards and alerts that the code says."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana import (
    agent_framework_costs,
    agent_framework_overview,
    alerts,
    automagik_metrics,
    automagik_traces,
    costs,
    fleet,
    pipeline,
    run_explorer,
    tools,
)

FOLDER = Path(__file__).parent
_DASHBOARDS = {
    "fleet": fleet.build,
    "run-explorer": run_explorer.build,
    "costs": costs.build,
    "tools": tools.build,
    "pipeline": pipeline.build,
    "agent-overview": agent_framework_overview.build,
    "llm-costs": agent_framework_costs.build,
    "automagik-overview": automagik_traces.overview,
    "automagik-traces": automagik_traces.traces,
    "automagik-metrics": automagik_metrics.metrics,
    "automagik-logs": automagik_metrics.logs,
}


def files() -> dict[Path, str]:
    """Return what every built file has to hold."""
    made = {
        FOLDER / "dashboards" / f"{name}.json": _json(build())
        for name, build in _DASHBOARDS.items()
    }
    return made | {FOLDER / "provisioning" / "alerting" / "runfold.yaml": alerts.text()}


def write() -> None:
    """Write the files, and remove dashboards that are no more."""
    made = files()
    for old in (FOLDER / "dashboards").glob("*.json"):
        if old not in made:
            old.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _json(board: Dashboard) -> str:
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write()
