"""Automagik's metrics and logs, panel for panel."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.automagik import MINUTE, OF_A_WEEK, dashboard_of, figure, source
from runfold.deploy.grafana.boards import Rows
from runfold.deploy.grafana.panels import Said, graph_panel, pie_panel, stat_panel, table_panel

_ERRORS = ((1, "red"),)
_METRICS, _LOGS = source("metrics"), source("logs")
_HISTOGRAMS = source("metrics", "metric_type = 'HISTOGRAM'")


def _p(share: float) -> str:
    return f"percentile_cont({share}) within group (order by value_double)"


def _by_name(title: str, description: str, asked: str, kind: str) -> Said:
    rows = source("metrics", f"metric_type = '{kind}'")
    sql = f"select {MINUTE}, metric_name as metric, {asked}\n{rows}\ngroup by 1, 2\norder by 1"
    return Said(title, description + OF_A_WEEK, sql, width=12)


_OF_METRICS: Rows = {
    "Metrics": [
        stat_panel(figure("Total Metrics", "Points.", "count(*) as points", _METRICS, width=8)),
        stat_panel(
            figure(
                "Unique Metrics",
                "Metrics by their names.",
                "count(distinct metric_name) as metrics",
                _METRICS,
                width=8,
            )
        ),
        stat_panel(
            figure(
                "Active Services",
                "Services that sent points.",
                "count(distinct service_name) as services",
                _METRICS,
                width=8,
            )
        ),
        graph_panel(
            _by_name(
                "Gauge Metrics", "The mean by the minute.", "avg(value_double) as value", "GAUGE"
            )
        ),
        graph_panel(
            _by_name(
                "Counter Metrics (SUM)",
                "The sum by the minute.",
                "sum(value_double) as value",
                "SUM",
            ),
            bars=True,
        ),
        graph_panel(
            Said(
                "Histogram Metrics (Percentiles)",
                "Mean, half, 95 and 99 of 100 of each minute." + OF_A_WEEK,
                f"select {MINUTE}, metric_name as metric, avg(value_double) as mean,\n"
                f"       {_p(0.5)} as p50,\n       {_p(0.95)} as p95,\n"
                f"       {_p(0.99)} as p99\n{_HISTOGRAMS}\n"
                "group by 1, 2\norder by 1",
                width=12,
            )
        ),
        pie_panel(
            Said(
                "Metrics by Type",
                "Points of each type." + OF_A_WEEK,
                f"select metric_type, count(*) as points\n{_METRICS}\ngroup by 1\n"
                "order by 2 desc, 1",
                width=12,
            )
        ),
        table_panel(
            Said(
                "Recent Metrics",
                "The last 100 points." + OF_A_WEEK,
                'select "timestamp", service_name, metric_name, metric_type, value_double,'
                f"\n       project_name, environment\n{_METRICS}\n"
                'order by "timestamp" desc, metric_id\nlimit 100',
                width=24,
            )
        ),
    ]
}
_OF_LOGS: Rows = {
    "Logs": [
        stat_panel(figure("Total Logs", "Lines.", "count(*) as lines", _LOGS)),
        stat_panel(
            figure(
                "Errors",
                "Lines of severity ERROR; FATAL is not among them.",
                "count(*) filter (where severity_text = 'ERROR') as errors",
                _LOGS,
            ),
            _ERRORS,
        ),
        stat_panel(
            figure(
                "Warnings",
                "Lines of severity WARN.",
                "count(*) filter (where severity_text = 'WARN') as warnings",
                _LOGS,
            ),
            ((1, "yellow"),),
        ),
        stat_panel(
            figure(
                "Active Services",
                "Services that wrote lines.",
                "count(distinct service_name) as services",
                _LOGS,
            )
        ),
        *(
            graph_panel(
                Said(
                    title,
                    f"Lines by the minute and {column}." + OF_A_WEEK,
                    f"select {MINUTE}, {column} as metric, count(*) as lines\n{_LOGS}\n"
                    "group by 1, 2\norder by 1",
                    width=8,
                ),
                bars=True,
            )
            for title, column in (
                ("Logs Over Time by Severity", "severity_text"),
                ("Logs by Service", "service_name"),
            )
        ),
        pie_panel(
            Said(
                "Logs by Severity",
                "Lines of each severity." + OF_A_WEEK,
                f"select severity_text, count(*) as lines\n{_LOGS}\ngroup by 1\norder by 2 desc, 1",
                width=8,
            )
        ),
        table_panel(
            Said(
                "Recent Logs",
                "The last 100 lines." + OF_A_WEEK,
                'select "timestamp", severity_text, service_name, body, trace_id, span_id,'
                f"\n       project_name, environment\n{_LOGS}\n"
                'order by "timestamp" desc, log_id\nlimit 100',
                width=24,
            )
        ),
    ]
}


def metrics() -> Dashboard:
    """Return the dashboard of metrics."""
    return dashboard_of("automagik-metrics", "metrics", "metrics", _OF_METRICS)


def logs() -> Dashboard:
    """Return the dashboard of logs."""
    return dashboard_of("automagik-logs", "logs", "logs", _OF_LOGS)
