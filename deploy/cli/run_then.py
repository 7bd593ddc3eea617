"""One run as it was: at a time, or after some of its events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runfold.deploy.cli.runs import moment
from runfold.deploy.cli.sub_runs import Row, day_before, descendants_at
from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.sinks.query import LakeQueries


def time_meant(at: str | None, at_event: int | None) -> datetime | None:
    """Return the time that --at names, None without one. Raises: ConfigurationError."""
    if at is not None and at_event is not None:
        raise ConfigurationError("--at and --at-event name two moments; give one of them")
    if at is None:
        return None
    now = datetime.now(UTC)
    then = moment(at, now)
    if then > now:
        raise ConfigurationError(f"--at {at}: {_clock(then)} is yet to come")
    return then


def run_then(
    lake_queries: LakeQueries,
    present: Row,
    below: list[Row],
    *,
    at: datetime | None,
    at_event: int | None,
) -> tuple[Row, list[Row]]:
    """Return a run and its sub-runs as they were known at that time or right after that event.

    Shape: the run has the columns of `run_at`, those that count its sub-runs, and `as_of`.
    Raises: ConfigurationError where the run was not known then, or has no such event.
    """
    if at is None:
        then = _after(lake_queries, present, at_event or 0)
        at = then["last_recorded_at"]
    else:
        then = _at(lake_queries, present, at)
    below = descendants_at(lake_queries, then["run_id"], below, at)
    children = [each for each in below if each["parent_run_id"] == then["run_id"]]
    is_open = [each["recorded_status"] in ("pending", "running") for each in children]
    return {
        **then,
        "tree_cost_usd": then["cost_usd"] + sum(each["cost_usd"] for each in below),
        "children": len(children),
        "open_children": sum(is_open),
        "as_of": f"{_clock(at)}, after {then['events']:,} of {present['events']:,} events",
    }, below


def _after(lake_queries: LakeQueries, present: Row, events: int) -> Row:
    if not 1 <= events <= present["events"]:
        raise ConfigurationError(
            f"--at-event {events:,}: a run's events are counted from 1, and it has "
            f"{present['events']:,}"
        )
    known = lake_queries.rows(
        f"from run_after(?, ?, since := date '{day_before(present)}')", [present["run_id"], events]
    )
    return known[0]


def _at(lake_queries: LakeQueries, present: Row, at: datetime) -> Row:
    known = lake_queries.rows(
        f"from run_at(?, ?, since := date '{day_before(present)}')", [present["run_id"], at]
    )
    if not known:
        raise ConfigurationError(
            f"nothing was known of the run at {_clock(at)}: the run began at "
            f"{_clock(present['started_at'])}, recorded from "
            f"{_clock(present['first_recorded_at'])} on"
        )
    return known[0]


def _clock(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
