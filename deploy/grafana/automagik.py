"""Automagik's tables, as all of its dashboards ask for them, panel for panel what they were."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import Dashboard

from runfold.deploy.grafana.boards import Board, Rows, choice
from runfold.deploy.grafana.panels import COUNT, Said
from runfold.deploy.grafana.questions import both, chosen

MINUTE = '$__timeGroupAlias("timestamp", 1m)'
OF_A_WEEK = " Of the last 7 days at most."
_WHO = (chosen("project_name", "project"), chosen("service_name", "service"))


def source(table: str, *conditions: str) -> str:
    """Return the rows of a table in the time range, of what is chosen."""
    where = both('$__timeFilter("timestamp")', *conditions, *_WHO)
    return f"from automagik.{table}\nwhere {where}"


def figure(
    title: str, description: str, asked: str, rows: str, *, unit: str = COUNT, width: int = 6
) -> Said:
    """Return a panel of one figure."""
    sql = f"select {asked}\n{rows}"
    return Said(title, description + OF_A_WEEK, sql, unit, width=width, height=4)


def dashboard_of(uid: str, title: str, table: str, rows: Rows) -> Dashboard:
    """Return one of the four dashboards."""
    board = Board(
        uid,
        f"Automagik: {title}",
        f"{title.capitalize()} as Automagik's own dashboard tells it, of the time range.",
        tag="automagik",
    )
    return board.build(_variables(table), rows)


def _variables(table: str) -> list[dashboard.QueryVariable]:
    return [
        choice(
            name,
            name.capitalize(),
            f"By {column}.",
            f"select distinct {column} from automagik.{table}\n"
            f"where $__timeFilter(\"timestamp\") and {column} <> ''\norder by 1",
        )
        for name, column in (("project", "project_name"), ("service", "service_name"))
    ]
