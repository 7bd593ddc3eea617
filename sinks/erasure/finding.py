"""The runs of a subject: those that name it, and their sub-runs."""

from __future__ import annotations

from collections.abc import Iterable

from runfold.schemas.errors import ConfigurationError
from runfold.sinks.erasure.record import Erasure
from runfold.sinks.object_path import LakePath
from runfold.sinks.query import open_lake

COLUMNS = {"session": "session_id", "user": "agent_owner", "host": "host"}
"""By what a subject is named, and the column that has it."""

_RUNS = """
with recursive named as (
    select run_id from lake_rows where {column} = $1 and run_id is not null
    union select run_id from lake_states where {column} = $1 or {is_run}
),
ancestry as (
    select run_id from named
    union select states.run_id
    from lake_states as states join ancestry on states.parent_run_id = ancestry.run_id
)
select run_id from ancestry
"""


def runs_of_subject(root: LakePath, by: str, subject: str) -> set[str]:
    """Return the ids of the runs of a subject, by the events and the states that serve.

    Shape: a session may be a run itself. Raises: LakeUnavailable, QueryFailed.
    """
    if not subject:
        raise ConfigurationError(f"--{by} is empty")
    is_run = "run_id = $1" if by == "session" else "false"
    with open_lake(root) as lake:
        question = _RUNS.format(column=COLUMNS[by], is_run=is_run)
        return {row["run_id"] for row in lake.rows(question, [subject])}


_SESSIONS = """
select session_id as name from lake_rows where session_id is not null
union select session_id from lake_states where session_id is not null
union select run_id from lake_rows where run_id is not null
union select run_id from lake_states
"""


def all_sessions(root: LakePath) -> list[str]:
    """Return every name that may be one of a session: their ids, and those of runs.

    Raises: LakeUnavailable, QueryFailed.
    """
    with open_lake(root) as lake:
        return [row["name"] for row in lake.rows(_SESSIONS)]


def session_of(erasure: Erasure, sessions: Iterable[str]) -> str | None:
    """Return which of `sessions` an erasure concerned, None where it is none of them."""
    return next((each for each in sessions if erasure.concerns("session", each)), None)
