"""Automagik's overview and traces, panel for panel."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.automagik import MINUTE, OF_A_WEEK, dashboard_of, figure, source
from runfold.deploy.grafana.boards import Rows
from runfold.deploy.grafana.panels import (
    MS,
    Said,
    bars_panel,
    graph_panel,
    pie_panel,
    stat_panel,
    table_panel,
)

_ERRORS = ((1, "red"),)
_TRACES = source("traces")
_PER_MINUTE = f"select {MINUTE}, count(*) as events\n{_TRACES}\ngroup by 1\norder by 1"
_FAILED = "count(*) filter (where status_code <> 'OK') as errors"

_OVERVIEW: Rows = {
    "Overview": [
        bars_panel(
            Said(
                "Events by Project",
                "Which projects send how much." + OF_A_WEEK,
                f"select project_name, count(*) as events\n{_TRACES}\n"
                "      and project_name <> ''\ngroup by 1\norder by 2 desc, 1",
                width=12,
            ),
            ((2000, "yellow"), (4000, "red")),
        ),
        stat_panel(figure("Total Events", "Spans and events.", "count(*) as events", _TRACES)),
        stat_panel(figure("Error Count", "Of these, errors.", _FAILED, _TRACES), _ERRORS),
        graph_panel(
            Said(
                "Events Over Time",
                "Spans and events by the minute." + OF_A_WEEK,
                _PER_MINUTE,
                width=16,
            )
        ),
        table_panel(
            Said(
                "Top Events",
                "The ten most frequent names." + OF_A_WEEK,
                f"select span_name, count(*) as events\n{_TRACES}\ngroup by 1\n"
                "order by 2 desc, 1\nlimit 10",
                width=8,
            )
        ),
    ]
}
_OF_TRACES: Rows = {
    "Traces": [
        stat_panel(figure("Total Traces", "Spans and events.", "count(*) as traces", _TRACES)),
        stat_panel(figure("Errors", "Of these, errors.", _FAILED, _TRACES), _ERRORS),
        stat_panel(
            figure(
                "Avg Duration",
                "The mean of the durations above 0.",
                "avg(duration_ms) filter (where duration_ms > 0) as duration",
                _TRACES,
                unit=MS,
            ),
            ((1000, "yellow"), (5000, "red")),
        ),
        stat_panel(
            figure(
                "Active Services",
                "Services that sent something.",
                "count(distinct service_name) as services",
                _TRACES,
            )
        ),
        graph_panel(
            Said(
                "Traces Over Time",
                "Spans and events by the minute." + OF_A_WEEK,
                _PER_MINUTE,
                width=16,
            )
        ),
        pie_panel(
            Said(
                "Traces by Service",
                "The ten services that send most." + OF_A_WEEK,
                f"select service_name, count(*) as traces\n{_TRACES}\ngroup by 1\n"
                "order by 2 desc, 1\nlimit 10",
                width=8,
            )
        ),
        table_panel(
            Said(
                "Recent Traces",
                "The last 50." + OF_A_WEEK,
                'select "timestamp", service_name, span_name, status_code, duration_ms,'
                f" project_name,\n       environment\n{_TRACES}\n"
                'order by "timestamp" desc, span_id\nlimit 50',
                width=24,
            ),
            units={"duration_ms": MS},
        ),
    ]
}


def overview() -> Dashboard:
    """Return the overview."""
    return dashboard_of("automagik-telemetry-overview", "overview", "traces", _OVERVIEW)


def traces() -> Dashboard:
    """Return the dashboard of traces."""
    return dashboard_of("automagik-traces", "traces", "traces", _OF_TRACES)
