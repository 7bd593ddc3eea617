"""Which events the lake holds already, for imports that may be repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa

from runfold.processors.topic_watch import describe_topic
from runfold.schemas.errors import LakeUnavailable
from runfold.schemas.topic import EVENTS
from runfold.sinks.lake_connection import lake_connection
from runfold.sinks.lake_files import Kind, topic_folder
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at
from runfold.sinks.views import without_globs

_ATTEMPTS = 4
_POLL_SECONDS = 0.5
_QUERY = """
select distinct event_id, run_id
from read_parquet($files, union_by_name = true)
semi join wanted using (event_id)
where dead_letter_reason is null
"""

_STARTS = """
select distinct on (run_id) run_id, event_id, attributes
from read_parquet($files, union_by_name = true)
semi join wanted using (run_id)
where dead_letter_reason is null and event_type = 'run.started'
order by run_id, "offset"
"""


class StoredEvents:
    """Looks events of one log up in the lake.

    It reads all files of the log: which ranges cover which others does not matter for what an
    event's run is.
    """

    def __init__(self, folder: LakePath) -> None:
        self._folder = folder / Kind.EVENTS

    @classmethod
    async def of_log(cls, lake_dir: LakePath, bootstrap: str) -> StoredEvents:
        """Return the events of the log that `bootstrap` holds now.

        Raises: BrokerUnavailable (retry).
        """
        log = await describe_topic(bootstrap, EVENTS.name)
        return cls(topic_folder(lake_dir, log.topic_id))

    def __call__(self, event_ids: Collection[str]) -> Mapping[str, str]:
        """Return for each of `event_ids` that is stored the run that it is stored in.

        Raises: LakeUnavailable (retry) where files come and go for too long.
        """
        found = self._look_up(_QUERY, "event_id", event_ids)
        return dict(found)

    def starts(self, run_ids: Collection[str]) -> dict[str, tuple[str, str | None]]:
        """Return for each of `run_ids` the id and attributes of the event that first started it.

        Raises: LakeUnavailable (retry) where files come and go for too long.
        """
        found = self._look_up(_STARTS, "run_id", run_ids)
        return {run_id: (event_id, attributes) for run_id, event_id, attributes in found}

    def _look_up(self, query: str, column: str, wanted: Collection[str]) -> list[tuple[Any, ...]]:
        if not wanted or not any(at(self._folder).walk()):
            return []
        pattern = f"{without_globs(self._folder)}/date=*/hour=*/*.parquet"
        names = pa.table({column: pa.array(wanted, pa.string())})
        problem: duckdb.Error | None = None
        for _ in range(_ATTEMPTS):  # a file may be compacted away between listing and reading
            try:
                with lake_connection(self._folder) as connection:
                    connection.register("wanted", names)
                    return connection.execute(query, {"files": pattern}).fetchall()
            except duckdb.IOException as error:
                problem = error
        raise LakeUnavailable(f"the lake cannot be read: {problem}") from problem

    async def wait_for(
        self,
        event_ids: Collection[str],
        *,
        patience: timedelta,
        on_stored: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Wait until all of `event_ids` are stored; return how many are not.

        Units: it gives up when nothing was added for `patience`. `on_stored` is told how many
        are there.
        """
        left = set(event_ids)
        deadline = time.monotonic() + patience.total_seconds()
        while left and time.monotonic() < deadline:
            found = await asyncio.to_thread(self, left)
            if found:
                left -= found.keys()
                on_stored(len(event_ids) - len(left))
                deadline = time.monotonic() + patience.total_seconds()
            elif left:
                await asyncio.sleep(_POLL_SECONDS)
        return len(left)
