"""Kinds of panels, all with a title, a description and one question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, piechart, stat, table
from grafana_foundation_sdk.builders import timeseries as lines
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.piechart import PieChartLegendValues, PieChartType

from runfold.deploy.grafana.questions import DATASOURCE, TABLE, TIME, Ask

WIDTH = 24
USD, MS, SECONDS, PERCENT, COUNT, BYTES = "currencyUSD", "ms", "s", "percent", "short", "bytes"

Steps = tuple[tuple[float, str], ...]
"""From which value on which colour. Grafana's names of colours, which suit dark and light."""

STATUS_COLOURS = {
    "success": "green",
    "partial": "yellow",
    "failure": "red",
    "timeout": "orange",
    "cancelled": "text",
    "running": "blue",
    "pending": "light-blue",
    "orphaned": "purple",
}


class _Shared(Protocol):
    """What every builder of a panel has."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def with_target(self, target: Builder[Dataquery]) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def height(self, h: int) -> Self: ...
    def span(self, w: int) -> Self: ...
    def build(self) -> Panel: ...


_P = TypeVar("_P", bound=_Shared)


@dataclass(frozen=True, slots=True)
class Said:
    """What a panel tells, and of what.

    Shape: `sql` in Grafana's words. Units: `unit` is a name of Grafana's; sizes in its grid of 24.
    """

    title: str
    description: str
    sql: str
    unit: str = COUNT
    width: int = 4
    height: int = 8


def stat_panel(
    said: Said, steps: Steps = (), *, below: str = "green", decimals: int | None = None
) -> stat.Panel:
    """Return a panel of one figure, coloured by thresholds where there are any.

    Shape: `below` is the colour of what is under the first of them.
    """
    panel = stat.Panel().graph_mode(kinds.BigValueGraphMode.NONE)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if decimals is not None:
        panel = panel.decimals(decimals)
    panel = panel.thresholds(_thresholds(steps, below)).color_scheme(
        dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS)
    )
    if not steps:
        panel = panel.color_mode(kinds.BigValueColorMode.NONE)
    return _filled(panel, said, TABLE)


def graph_panel(said: Said, steps: Steps = (), *, bars: bool = False) -> lines.Panel:
    """Return a graph over time, of lines or of stacked bars; thresholds are drawn as lines."""
    legend = common.VizLegendOptions().show_legend(True)
    legend = legend.display_mode(kinds.LegendDisplayMode.LIST)
    panel = (
        lines.Panel()
        .legend(legend.placement(kinds.LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI))
        .min(0)
        .interval("1m")
    )
    if bars:
        panel = (
            panel.draw_style(kinds.GraphDrawStyle.BARS)
            .fill_opacity(70)
            .stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
        )
    else:
        panel = panel.draw_style(kinds.GraphDrawStyle.LINE).fill_opacity(10)
        panel = panel.show_points(kinds.VisibilityMode.AUTO)
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(style)
    for status, colour in STATUS_COLOURS.items():
        panel = panel.override_by_name(
            status, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})]
        )
    return _filled(panel, said, TIME)


def pie_panel(said: Said) -> piechart.Panel:
    """Return shares of a whole: a row for each, its name and its size."""
    legend = (
        piechart.PieChartLegendOptions()
        .show_legend(True)
        .display_mode(kinds.LegendDisplayMode.TABLE)
        .placement(kinds.LegendPlacement.RIGHT)
        .values([PieChartLegendValues.VALUE, PieChartLegendValues.PERCENT])
    )
    panel = piechart.Panel().pie_type(PieChartType.DONUT).legend(legend)
    panel = panel.reduce_options(common.ReduceDataOptions().values(True).calcs(["lastNotNull"]))
    for status, colour in STATUS_COLOURS.items():
        panel = panel.override_by_name(
            status, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})]
        )
    return _filled(panel, said, TABLE)


def bars_panel(said: Said, steps: Steps = ()) -> bargauge.Panel:
    """Return bars side by side: a row for each, its name and its length."""
    panel = (
        bargauge.Panel()
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().values(True).calcs(["lastNotNull"]))
        .thresholds(_thresholds(steps))
    )
    return _filled(panel, said, TABLE)


def table_panel(
    said: Said,
    *,
    units: Mapping[str, str] | None = None,
    links: Mapping[str, tuple[str, str]] | None = None,
    steps: Mapping[str, Steps] | None = None,
) -> table.Panel:
    """Return a table.

    Shape: `units`, `links` (what a click does, and its address) and `steps` are by column.
    """
    panel = table.Panel().show_header(True).filterable(True)
    shown: dict[str, list[DynamicConfigValue]] = {}
    for column, unit in (units or {}).items():
        shown.setdefault(column, []).append(DynamicConfigValue("unit", unit))
    for column, (title, url) in (links or {}).items():
        link = {"title": title, "url": url, "targetBlank": False}
        shown.setdefault(column, []).append(DynamicConfigValue("links", [link]))
    for column, each in (steps or {}).items():
        shown.setdefault(column, []).extend(
            [
                DynamicConfigValue("thresholds", _thresholds(each).build().to_json()),
                DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
            ]
        )
    shown["status"] = _status_colours()
    for column, properties in shown.items():
        panel = panel.override_by_name(column, properties)
    return _filled(panel, said, TABLE)


def _status_colours() -> list[DynamicConfigValue]:
    options = {name: {"color": colour} for name, colour in STATUS_COLOURS.items()}
    return [
        DynamicConfigValue("mappings", [{"type": "value", "options": options}]),
        DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
    ]


def _filled(panel: _P, said: Said, form: str) -> _P:
    return (
        panel.title(said.title)
        .description(said.description)
        .datasource(DATASOURCE)
        .with_target(Ask(said.sql, form))
        .unit(said.unit)
        .height(said.height)
        .span(said.width)
    )


def _thresholds(steps: Steps, below: str = "green") -> dashboard.ThresholdsConfig:
    given = [Threshold(value=None, color=below if steps else "text")]
    given += [Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(given)
