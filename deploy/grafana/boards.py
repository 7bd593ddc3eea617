"""A dashboard of panels: its variables, its links to the others, and its time range."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from runfold.deploy.grafana.questions import ALL, DATASOURCE

REFRESH = "30s"

Rows = Mapping[str, Iterable[Builder[Panel]]]
"""Panels by the heading that they stand under."""


@dataclass(frozen=True, slots=True)
class Board:
    """What a dashboard is, apart from its panels.

    Shape: `uid` is what addresses call it; dashboards of one `tag` are linked to each other.
    """

    uid: str
    title: str
    description: str
    tag: str = "runfold"
    since: str = "now-24h"

    def build(self, variables: Iterable[dashboard.QueryVariable], rows: Rows) -> Dashboard:
        """Return the dashboard."""
        board = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([self.tag])
            .time(self.since, "now")
            .refresh(REFRESH)
            .timezone("browser")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .readonly()
            .link(_to_the_others(self.tag))
        )
        for variable in variables:
            board = board.with_variable(variable)
        for heading, panels in rows.items():
            board = board.with_row(dashboard.Row(heading))
            for panel in panels:
                board = board.with_panel(panel)
        return _numbered(board.build())


def choice(
    name: str, label: str, description: str, sql: str, *, many: bool = True
) -> dashboard.QueryVariable:
    """Return a variable that a question gives the values of; of `many`, several or All."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query(sql)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.DISABLED)
        .multi(many)
        .include_all(many)
    )
    if many:
        everything = VariableOption(selected=True, text=["All"], value=["$__all"])
        variable = variable.all_value(ALL).current(everything)
    return variable


def _to_the_others(tag: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([tag])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def _numbered(board: Dashboard) -> Dashboard:
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    return board
