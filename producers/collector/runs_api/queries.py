"""What is asked of the read model."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from runfold.producers.collector.runs_api.file import RunsFile
from runfold.producers.collector.runs_api.rows import answer_of

_SELECT = (
    "select a.*, f.git_url from agent_runs a join followed_runs f on f.id = a.id "
    "where (:project is null or f.project = :project)"
)
_MEANING = {
    "agent_name": "a.agent_name = :agent_name",
    "status": "a.status = :status",
    "job_type": "a.job_type = :job_type",
    "created_before": "f.created_us < :created_before",
    "created_after": "f.created_us > :created_after",
    "start_time_from": "f.started_us >= :start_time_from",
    "start_time_to": "f.started_us <= :start_time_to",
}
_OF_PROJECT = (
    "from agent_runs a join followed_runs f on f.id = a.id "
    "where (:project is null or f.project = :project)"
)
_REMEMBERED_SECONDS = 300.0
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are listed; None for any. Units: times in microseconds since 1970 UTC."""

    agent_name: str | None = None
    status: str | None = None
    job_type: str | None = None
    created_before: int | None = None
    created_after: int | None = None
    start_time_from: int | None = None
    start_time_to: int | None = None

    def conditions(self) -> Iterator[tuple[str, Any]]:
        """Yield the names and values of what is asked for."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                yield each.name, value


class RunQueries:
    """Answers by SQL; what agents and jobs there are is remembered for five minutes."""

    def __init__(self, file: RunsFile) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._generation = 0
        self._names: dict[str | None, tuple[float, int, dict[str, Any]]] = {}

    def one(self, event_id: str, project: str | None) -> dict[str, Any] | None:
        """Return a run as it is answered, None where there is none."""
        asked = {"event_id": event_id, "project": project}
        found = self._rows(f"{_SELECT} and a.event_id = :event_id", asked)
        return answer_of(found[0]) if found else None

    def many(
        self, wanted: RunFilter, project: str | None, limit: int, offset: int
    ) -> list[dict[str, Any]]:
        """Return runs, those created last first; of those created at once the later in the log."""
        asked = dict(wanted.conditions())
        conditions = "".join(f" and {_MEANING[name]}" for name in asked)
        order = " order by f.created_us desc, f.id desc limit :limit offset :offset"
        asked |= {"project": project, "limit": limit, "offset": offset}
        return [answer_of(row) for row in self._rows(_SELECT + conditions + order, asked)]

    def totals(self, project: str | None) -> dict[str, Any]:
        """Return how many runs there are, in all, of each agent and of the last 24 hours."""
        asked = {"project": project, "since": time.time_ns() // 1000 - _DAY_US}
        agents = self._rows(
            f"select a.agent_name, count(*) {_OF_PROJECT} group by 1 order by 2 desc, 1", asked
        )
        [(recent,)] = self._rows(f"select count(*) {_OF_PROJECT} and f.created_us >= :since", asked)
        by_agent = dict(map(tuple, agents))
        return {"total_runs": sum(by_agent.values()), "agents": by_agent, "recent_24h": recent}

    def names(self, project: str | None) -> dict[str, Any]:
        """Return the names of agents and jobs, and whether they were remembered."""
        with self._lock:
            generation = self._generation
            until, of_generation, found = self._names.get(project, (0.0, -1, {}))
        if of_generation == generation and time.monotonic() < until:
            return {**found, "cache_hit": True}
        asked = {"project": project}
        names = {
            f"{column}s": [
                name
                for (name,) in self._rows(
                    f"select distinct a.{column} {_OF_PROJECT} order by 1", asked
                )
            ]
            for column in ("agent_name", "job_type")
        }
        found = {**names, "counts": {key: len(value) for key, value in names.items()}}
        with self._lock:
            self._names[project] = (time.monotonic() + _REMEMBERED_SECONDS, generation, found)
        return {**found, "cache_hit": False}

    def forget(self) -> None:
        """Look again for names when they are asked for next: runs came or changed."""
        with self._lock:
            self._generation += 1

    def _rows(self, query: str, asked: Mapping[str, Any]) -> list[sqlite3.Row]:
        return self._file.reader().execute(query, asked).fetchall()
