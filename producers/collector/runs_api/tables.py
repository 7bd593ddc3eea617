"""What is written into the read model, and looked up in it: one statement for many runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from runfold.producers.collector.runs_api.rows import instants_of, row_of
from runfold.schemas.event import EVENT_FIELDS, Event, LoggedEvent
from runfold.schemas.run_state import RunState

_AT_ONCE = 500


class FollowedRun(NamedTuple):
    """A run and its state; `row_id` grows with the place where the log first has it."""

    row_id: int
    name: str
    event_id: str
    state: RunState


def look_up(
    connection: sqlite3.Connection, query: str, wanted: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield what a query finds, whose `{}` stands for all that is wanted."""
    for at in range(0, len(wanted), _AT_ONCE):
        part = wanted[at : at + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        yield from map(tuple, connection.execute(query.format(marks), part).fetchall())


def events_of(connection: sqlite3.Connection, name: str) -> Iterator[LoggedEvent]:
    """Yield the events of a run, as far as the file has them, in their order."""
    for packed, offset, recorded_at in connection.execute(
        'select event, "offset", recorded_at from followed_events where name = ? order by "offset"',
        [name],
    ):
        yield LoggedEvent(Event(**orjson.loads(packed)), offset, recorded_at)


def write_events(connection: sqlite3.Connection, events: Iterable[LoggedEvent]) -> None:
    """Keep the events of runs, so that their states can be folded again."""
    connection.executemany(
        "insert into followed_events values (?, ?, ?, ?) on conflict do nothing",
        [
            (each.event.run_id, each.offset, each.recorded_at, _packed(each.event))
            for each in events
        ],
    )


def write_runs(connection: sqlite3.Connection, runs: Sequence[FollowedRun]) -> None:
    """Write runs; of those that name one `event_id` the first in the log is the one that shows."""
    rows = [{"id": each.row_id, **row_of(each.name, each.event_id, each.state)} for each in runs]
    connection.executemany(
        _upsert("followed_runs", _FOLLOWED_COLUMNS),
        [_followed(each, row) for each, row in zip(runs, rows, strict=True)],
    )
    first = dict(
        look_up(
            connection,
            "select event_id, id from followed_runs where event_id in ({}) "
            "order by event_id, recorded_us desc, id desc",
            [each.event_id for each in runs],
        )
    )
    shown = [row for row in rows if first[row["event_id"]] == row["id"]]
    if shown:
        connection.executemany(
            _upsert("agent_runs", tuple(shown[0])), [tuple(row.values()) for row in shown]
        )


def write_reached(
    connection: sqlite3.Connection, topic_id: str, reached: Mapping[int, int]
) -> None:
    """Note the next offsets of partitions."""
    connection.executemany(
        "insert or replace into followed_partitions values (?, ?, ?)",
        [(topic_id, partition, offset) for partition, offset in reached.items()],
    )


_FOLLOWED_COLUMNS = (
    "id", "name", "event_id", "recorded_us", "created_us", "started_us", "project", "git_url",
)  # fmt: skip


def _followed(run: FollowedRun, row: Mapping[str, Any]) -> tuple[Any, ...]:
    state = run.state
    address = state.attributes.get("git_url")
    return (
        run.row_id,
        run.name,
        run.event_id,
        state.first_recorded_at,
        *instants_of(row, state),
        state.project,
        address if isinstance(address, str) else None,
    )


def _upsert(table: str, columns: Sequence[str]) -> str:
    """Return a statement that costs a third of `insert or replace`, which deletes first."""
    values = ", ".join("?" * len(columns))
    changes = ", ".join(f"{each} = excluded.{each}" for each in columns)
    return (
        f"insert into {table} ({', '.join(columns)}) values ({values}) "
        f"on conflict do update set {changes}"
    )


def _packed(event: Event) -> bytes:
    said = {name: getattr(event, name) for name in EVENT_FIELDS}
    return orjson.dumps({name: value for name, value in said.items() if value is not None})
