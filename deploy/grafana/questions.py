"""Questions to PostgreSQL in Grafana's words: its macros, and variables that stand for choices."""

from __future__ import annotations

import textwrap

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

DATASOURCE = DataSourceRef(type_val="grafana-postgresql-datasource", uid="runfold")
TIME = "time_series"
TABLE = "table"

ALL = "''"
"""What stands for "All": never a name, so it also takes the rows that have none."""


class Query(Dataquery):
    """A question as a panel keeps it."""

    def __init__(self, sql: str, form: str) -> None:
        self.sql = textwrap.dedent(sql).strip()
        self.form = form

    def to_json(self) -> dict[str, object]:
        """Return what Grafana's PostgreSQL data source reads."""
        return {
            "refId": "A",
            "datasource": DATASOURCE.to_json(),
            "editorMode": "code",
            "format": self.form,
            "rawQuery": True,
            "rawSql": self.sql,
        }


class Ask(Builder[Dataquery]):
    """Gives a question to a panel."""

    def __init__(self, sql: str, form: str) -> None:
        self._query = Query(sql, form)

    def build(self) -> Dataquery:
        """Return the question."""
        return self._query


def chosen(column: str, variable: str | None = None) -> str:
    """Return the condition that a column has one of a variable's chosen values, or All."""
    values = f"(${{{variable or column}:sqlstring}})"
    return f"('' in {values} or {column} in {values})"


def both(*conditions: str) -> str:
    """Return conditions that all have to hold."""
    return "\n      and ".join(conditions)


def in_days(column: str) -> str:
    """Return the condition that a UTC day is touched by the time range."""
    return (
        f"{column} between ($__timeFrom()::timestamptz at time zone 'UTC')::date"
        " and ($__timeTo()::timestamptz at time zone 'UTC')::date"
    )


def buckets(column: str) -> str:
    """Return the moments at which a graph that spans the time range has its points."""
    return f"$__timeGroupAlias({column}, $__interval)"


def at_days(column: str) -> str:
    """Return the beginnings of UTC days as the points of a graph."""
    return f"{column}::timestamp at time zone 'UTC' as \"time\""
