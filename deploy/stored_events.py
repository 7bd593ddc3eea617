"""Which events the lake holds already, for imports that may be repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from runfold.processors.topic_watch import describe_topic
from runfold.schemas.errors import LakeUnavailable
from runfold.schemas.topic import EVENTS
from runfold.sinks.lake_files import Kind, topic_folder

_ATTEMPTS = 4
_POLL_SECONDS = 0.5
_QUERY = """
select distinct event_id, run_id
from read_parquet($files, union_by_name = true)
semi join wanted using (event_id)
where dead_letter_reason is null
"""


class StoredEvents:
    """Looks events of one log up in the lake.

    It reads all files of the log: which ranges cover which others does not matter for what an
    event's run is.
    """

    def __init__(self, folder: Path) -> None:
        self._files = folder / Kind.EVENTS.value / "**" / "*.parquet"
        self._folder = folder / Kind.EVENTS.value

    @classmethod
    async def of_log(cls, lake_dir: Path, bootstrap: str) -> StoredEvents:
        """Return the events of the log that `bootstrap` holds now.

        Raises: BrokerUnavailable (retry).
        """
        log = await describe_topic(bootstrap, EVENTS.name)
        return cls(topic_folder(lake_dir, log.topic_id))

    def __call__(self, event_ids: Collection[str]) -> Mapping[str, str]:
        """Return for each of `event_ids` that is stored the run that it is stored in.

        Raises: LakeUnavailable (retry) where files come and go for too long.
        """
        if not event_ids or next(self._folder.rglob("[!.]*.parquet"), None) is None:
            return {}
        problem: duckdb.Error | None = None
        for _ in range(_ATTEMPTS):  # a file may be compacted away between listing and reading
            try:
                return self._look_up(event_ids)
            except duckdb.IOException as error:
                problem = error
        raise LakeUnavailable(f"the lake cannot be read: {problem}") from problem

    def _look_up(self, event_ids: Collection[str]) -> dict[str, str]:
        with duckdb.connect() as connection:
            wanted = pa.table({"event_id": pa.array(event_ids, pa.string())})
            connection.register("wanted", wanted)
            found = connection.execute(_QUERY, {"files": str(self._files)}).fetchall()
        return dict(found)

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
