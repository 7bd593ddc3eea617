"""Every question of every dashboard, asked of a real PostgreSQL and likewise of the lake.

A fleet of the demo and what clients of the earlier systems sent goes through a lake and the real
export. A panel fails that is refused, that is empty, or whose figures are not those of the lake.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from runfold.deploy.embedded.postgres import PostgresServer
from runfold.producers.demo import DemoRecord, generate_fleet
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.lake import LogDescription
from runfold.sinks.lake import LocalLake
from runfold.sinks.postgres import open_exporter
from runfold.sinks.query import LakeQueries, open_lake
from tests.dashboards import (
    ALL,
    Chosen,
    Panel,
    Variable,
    Viewed,
    a_day,
    all_alerts,
    all_panels,
    all_variables,
    as_exported,
    boards,
    everything,
    is_of_the_lake,
)
from tests.earlier_systems import a_bit_of_each
from tests.lakes_of_events import LOG, NOON_US, SECOND_US, LakeOfEvents, now_us
from tests.postgres_tables import Row

TOPIC = "runfold.events"
RUNS = 60
ENDED = timedelta(hours=2)
"""How long ago the fleet fell silent: its open runs are orphans, and stay so while tests run."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A database and the lake that it was filled from, asked about the last day."""

    postgres: psycopg.Connection[Row]
    lake: LakeQueries
    viewed: Viewed

    def of(self, panel: Panel, chosen: Chosen, *, days_ago: int = 0) -> str:
        """Return what a panel asks when so much is chosen."""
        before = timedelta(days=days_ago)
        viewed = replace(
            self.viewed,
            since=self.viewed.since - before,
            until=self.viewed.until - before,
            chosen=chosen,
            everything=everything(panel.board),
        )
        return viewed.ask(panel.sql)

    def rows(self, question: str) -> list[Row]:
        """Return what PostgreSQL answers."""
        return self.postgres.execute(question.encode()).fetchall()


def in_flushes(fleet: list[DemoRecord]) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
    """Yield records of about the same time, as a log would have recorded them."""
    encode = SparseEncoder(latest("event"))
    for _, flush in groupby(fleet, lambda each: each.at_us // 3_600_000_000):
        records = list(flush)
        yield (
            records[-1].at_us,
            [
                (each.bad.key or b"", each.bad.value or b"")
                if each.bad is not None
                else (str((each.event or {})["run_id"]).encode(), encode(each.event or {}))
                for each in records
            ],
        )


@pytest.fixture(scope="module")
def answers(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Answers]:
    """Give a fleet's lake, and PostgreSQL with all that the export makes of it."""
    root = tmp_path_factory.mktemp("dashboards")
    lake = LakeOfEvents(root)
    LocalLake(root).describe(LogDescription(LOG.topic_id, TOPIC, 1))
    for at_us, records in in_flushes(list(generate_fleet(3, datetime.now(UTC) - ENDED, RUNS))):
        lake.put_records(records, recorded_at_us=at_us)
    long_ago = (datetime.now(UTC) - ENDED).timestamp() - NOON_US / SECOND_US
    lake.put(*a_bit_of_each(long_ago), recorded_at_us=now_us(ENDED.total_seconds()))
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("drop database if exists dashboards with (force)")
        connection.execute("create database dashboards")
    database = postgres.url_of("dashboards")
    with open_exporter(root, database, log_ends=lambda: {TOPIC: {0: 10**6}}) as exporter:
        exporter.catch_up()
    since, until = a_day(datetime.now(UTC))
    with (
        psycopg.connect(database, row_factory=dict_row, autocommit=True) as connection,
        open_lake(root) as queries,
    ):
        connection.execute("set timezone = 'America/New_York'")  # as a server's may be
        yield Answers(connection, as_exported(queries, kept=True), Viewed(since, until, {}, {}))


@pytest.fixture(scope="module")
def one_of_each(answers: Answers) -> Chosen:
    """Give a choice of one value, or some, for each variable, which have to do with each other."""
    [run] = answers.postgres.execute(
        "select run_id, agent_name, project, host, model, last_tool from runfold.runs"
        " where children > 0 and errors > 0 and tools_failed > 0 and parent_run_id is null"
        " order by events desc limit 1"
    ).fetchall()
    return {
        "run": run["run_id"],
        "agent": [run["agent_name"], "it's another"],
        "project": [run["project"]],
        "host": [run["host"]],
        "model": [run["model"]],
        "tool": ["Bash", "Read"],
        "service": ["web"],
    }


OF_EARLIER = {"agent": "guard", "host": "host-2", "model": "n", "project": "omni"}
"""What is chosen where an earlier system's dashboard asks."""


def some(one_of_each: Chosen, board: str) -> Chosen:
    """Choose some, of what a dashboard has."""
    return dict(one_of_each) | (OF_EARLIER if is_of_earlier(board) else {})


def is_of_earlier(board: str) -> bool:
    return board.startswith("automagik") or board in ("agent-overview", "llm-costs")


def of_all(one_of_each: Chosen) -> Chosen:
    """Choose All wherever that can be chosen."""
    return {name: value if name == "run" else ALL for name, value in one_of_each.items()}


def number_of(value: Any) -> Any:
    """Return a value in a form that both databases have it in."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1e6)
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal | int) else value


def in_order(rows: list[Row]) -> list[list[Any]]:
    """Return rows in an order that does not hang on the last bits of a number."""

    def coarse(row: list[Any]) -> list[str]:
        return [f"{each:.6e}" if isinstance(each, float) else str(each) for each in row]

    return sorted(([number_of(each) for each in row.values()] for row in rows), key=coarse)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are one, numbers to within 1e-9 of themselves."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def differences(rows: list[Row], true: list[Row]) -> list[str]:
    """Return in words where the rows of PostgreSQL are not those of the lake."""
    if len(rows) != len(true):
        return [f"{len(rows)} rows, the lake has {len(true)}"]
    if rows and list(rows[0]) != list(true[0]):
        return [f"columns {list(rows[0])}, the lake has {list(true[0])}"]
    names = list(rows[0]) if rows else []
    return [
        f"{name}: {mine!r}, the lake has {its!r}"
        for row, of_lake in zip(in_order(rows), in_order(true), strict=True)
        for name, mine, its in zip(names, row, of_lake, strict=True)
        if not same(mine, its)
    ]


BOARDS = sorted(boards())
OF_THE_LAKE = [each for each in all_panels() if is_of_the_lake(each)]


def panels(board: str) -> list[Panel]:
    return [each for each in all_panels() if each.board == board]


def is_empty(rows: list[Row]) -> bool:
    return all(value is None for row in rows for value in row.values())


@pytest.mark.parametrize("board", BOARDS)
def test_every_panel_shows_something(board: str, answers: Answers, one_of_each: Chosen) -> None:
    shown = {
        str(panel): answers.rows(answers.of(panel, of_all(one_of_each))) for panel in panels(board)
    }
    assert [panel for panel, rows in shown.items() if is_empty(rows)] == []
    graphs = {str(panel) for panel in panels(board) if panel.form == "time_series"}
    assert graphs == {panel for panel, rows in shown.items() if "time" in rows[0]}


@pytest.mark.parametrize("board", sorted({each.board for each in OF_THE_LAKE}))
def test_every_figure_is_what_the_lake_says(
    board: str, answers: Answers, one_of_each: Chosen
) -> None:
    wrong = {}
    for panel in OF_THE_LAKE:
        if panel.board == board:
            for chosen in (of_all(one_of_each), some(one_of_each, board)):
                question = answers.of(panel, chosen)
                found = differences(answers.rows(question), answers.lake.rows(question))
                if found:
                    wrong[str(panel)] = found[:3]
    assert wrong == {}


@pytest.mark.parametrize("variable", all_variables(), ids=str)
def test_a_variable_offers_values(
    variable: Variable, answers: Answers, one_of_each: Chosen
) -> None:
    asks = Panel(variable.board, variable.name, "", variable.sql, "table")
    narrow = some(one_of_each, variable.board)
    offered = []
    for chosen in (of_all(one_of_each), narrow):
        question = answers.of(asks, chosen)
        rows = answers.rows(question)
        if "runfold." in variable.sql:
            assert differences(rows, answers.lake.rows(question)) == []
        offered.append([value for row in rows for value in row.values()])
    assert None not in offered[0]
    assert len(offered[0]) > 1
    one = narrow[variable.name]
    assert (one if isinstance(one, str) else one[0]) in offered[1]


@pytest.mark.parametrize("board", BOARDS)
def test_every_panel_honours_the_time_range_and_the_choices(
    board: str, answers: Answers, one_of_each: Chosen
) -> None:
    nobody = dict.fromkeys(one_of_each, "nobody's")
    deaf = []
    for panel in panels(board):
        questions = [answers.of(panel, nobody)] if everything(board) else []
        if "hatever the time range" not in panel.description:
            questions.append(answers.of(panel, of_all(one_of_each), days_ago=1000))
        deaf += [str(panel) for each in questions if not shows_nothing(answers.rows(each))]
    assert deaf == []


def shows_nothing(rows: list[Row]) -> bool:
    return all(value is None or value == 0 for row in rows for value in row.values())


@pytest.mark.parametrize("alert", all_alerts(), ids=str)
def test_an_alert_asks_for_one_number_that_the_lake_has_too(alert: Panel, answers: Answers) -> None:
    assert "$" not in alert.sql
    [row] = answers.rows(alert.sql)
    [figure] = row.values()
    assert figure is not None
    fell_silent = answers.viewed.until - ENDED
    then = alert.sql.replace("now()", f"timestamptz '{fell_silent:%Y-%m-%d %H:%M:%S+00}'")
    if not any(name in alert.sql for name in ("freshness_seconds", "lag_records")):
        assert differences(answers.rows(then), answers.lake.rows(then)) == []


def test_a_difference_is_found() -> None:
    row = {"agent": "a", "cost": Decimal("0.1")}
    assert differences([row], [{"agent": "a", "cost": 0.1}]) == []
    assert differences([row], [{"agent": "a", "cost": 0.1 + 1e-9}]) != []
    assert differences([row], [{"agent": "b", "cost": 0.1}]) != []
    assert differences([row], []) != []
    assert differences([row], [{"agent": "a", "usd": 0.1}]) != []
