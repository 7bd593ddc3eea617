"""Grafana's files as Grafana reads them: every question, with macros and variables filled in.

Macros are expanded as by Grafana's PostgreSQL data source, variables as by `${name:sqlstring}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import runfold.deploy.grafana
from runfold.sinks.postgres.exporter import RECENT
from runfold.sinks.query import LakeQueries

FOLDER = Path(runfold.deploy.grafana.__file__).parent
EXPORTED_LAKE = Path(__file__).with_name("exported_lake.sql")
ALL = "$__all"

Chosen = Mapping[str, str | Sequence[str]]
"""The value of each variable, or its values, or ALL."""

_ARGUMENTS = r"\(((?:[^()]|\([^()]*\))*)\)"
_MACRO = re.compile(rf"\$__(timeFilter|timeGroupAlias|timeGroup){_ARGUMENTS}")
_TIMES = re.compile(r"\$__time(From|To)\(\)")
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(?!__)(\w+)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel that asks something."""

    board: str
    title: str
    description: str
    sql: str
    form: str

    def __str__(self) -> str:
        return f"{self.board}: {self.title}"


OF_THE_EXPORT = ("freshness_seconds", "lag_records", "watermarks", "now()")
"""What the export alone can tell: how far and how fast it is."""


def is_of_the_lake(panel: Panel) -> bool:
    """Tell whether a panel asks what the lake knows as well."""
    return "runfold." in panel.sql and not any(name in panel.sql for name in OF_THE_EXPORT)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable whose values are asked for. Shape: `everything` is what All is in SQL."""

    board: str
    name: str
    sql: str
    everything: str | None

    def __str__(self) -> str:
        return f"{self.board}: ${self.name}"


@dataclass(frozen=True, slots=True)
class Viewed:
    """What somebody looks at: a time range, the length of a bucket, and what was chosen."""

    since: datetime
    until: datetime
    chosen: Chosen
    everything: Mapping[str, str]
    interval: str = "5m"

    def ask(self, sql: str) -> str:
        """Return a question as it reaches the database."""
        sql = sql.replace("$__interval", self.interval)
        sql = _MACRO.sub(self._macro, sql)
        sql = _TIMES.sub(lambda found: self._time(found[1] == "From"), sql)
        return _VARIABLE.sub(self._variable, sql)

    def _time(self, is_since: bool) -> str:
        return f"'{(self.since if is_since else self.until):%Y-%m-%dT%H:%M:%S.%fZ}'"

    def _macro(self, found: re.Match[str]) -> str:
        name, *arguments = found[1], *(each.strip() for each in found[2].split(","))
        if name == "timeFilter":
            return f"{arguments[0]} BETWEEN {self._time(True)} AND {self._time(False)}"
        seconds = int(arguments[1][:-1]) * _UNITS[arguments[1][-1]]
        alias = ' AS "time"' if name == "timeGroupAlias" else ""
        return f"floor(extract(epoch from {arguments[0]})/{seconds})*{seconds}{alias}"

    def _variable(self, found: re.Match[str]) -> str:
        name, form = found[1] or found[3], found[2]
        value = self.chosen[name]
        if value == ALL:
            return self.everything[name]
        if form != "sqlstring":
            raise ValueError(f"${name} is put into SQL without quotes")
        values = [value] if isinstance(value, str) else value
        return ",".join("'" + each.replace("'", "''") + "'" for each in values)


@cache
def boards() -> dict[str, dict[str, Any]]:
    """Return every dashboard by its file's name."""
    paths = sorted((FOLDER / "dashboards").glob("*.json"))
    return {path.stem: json.loads(path.read_text("utf-8")) for path in paths}


def all_panels() -> list[Panel]:
    """Return the panels of all dashboards, headings aside."""
    return [
        Panel(name, each["title"], each["description"], target["rawSql"], target["format"])
        for name, board in boards().items()
        for each in board["panels"]
        if each["type"] != "row"
        for target in each["targets"]
    ]


def all_variables() -> list[Variable]:
    """Return the variables of all dashboards."""
    return [
        Variable(name, each["name"], each["query"], each.get("allValue"))
        for name, board in boards().items()
        for each in board["templating"].get("list", ())
    ]


def all_alerts() -> list[Panel]:
    """Return the questions of all alerts."""
    path = FOLDER / "provisioning" / "alerting" / "runfold.yaml"
    [group] = yaml.safe_load(path.read_text("utf-8"))["groups"]
    return [
        Panel("alerts", rule["title"], rule["annotations"]["summary"], model["rawSql"], "table")
        for rule in group["rules"]
        for model in (rule["data"][0]["model"],)
    ]


def everything(board: str) -> dict[str, str]:
    """Return what All is for each variable of a dashboard that has it."""
    return {
        each.name: each.everything
        for each in all_variables()
        if each.board == board and each.everything is not None
    }


def as_exported(
    lake: LakeQueries, *, kept: bool = False, recent: timedelta = RECENT
) -> LakeQueries:
    """Let a lake answer questions to the export's tables; `kept`, from what it holds now."""
    sql = EXPORTED_LAKE.read_text("utf-8").replace("{recent_days}", str(recent.days))
    lake.ask(sql.replace("create or replace view", "create table") if kept else sql)
    return lake


def a_day(until: datetime) -> tuple[datetime, datetime]:
    """Return the time range that dashboards open with."""
    return until - timedelta(days=1), until
