"""Looking up what the lake holds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from runfold.deploy.stored_events import StoredEvents


def store(
    folder: Path,
    name: str,
    rows: list[tuple[str | None, str | None]],
    reason: str | None = None,
) -> None:
    path = folder / "events" / "date=2026-01-10" / "hour=09" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "event_id": pa.array([each[0] for each in rows], pa.string()),
        "run_id": pa.array([each[1] for each in rows], pa.string()),
        "dead_letter_reason": pa.array([reason] * len(rows), pa.string()),
    }
    hidden = path.with_name(f".{name}.tmp")
    pq.write_table(pa.table(columns), hidden)
    hidden.rename(path)


def test_a_lake_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert StoredEvents(tmp_path / "log")(["a"]) == {}


def test_events_are_found_with_their_runs_in_all_files(tmp_path: Path) -> None:
    store(tmp_path, "p00-000000000000-000000000001", [("a", "r1"), (None, None)])
    store(tmp_path, "p01-000000000000-000000000001", [("b", "r2"), ("c", "r2")])
    store(tmp_path, "p00-000000000000-000000000003", [("a", "r1")])
    store(tmp_path, "p02-000000000000-000000000000", [("d", "r1")], reason="bad_body")
    stored = StoredEvents(tmp_path)
    assert stored(["a", "c", "d", "unknown"]) == {"a": "r1", "c": "r2"}
    assert stored([]) == {}


async def test_waiting_ends_when_all_are_there(tmp_path: Path) -> None:
    store(tmp_path, "p00-000000000000-000000000000", [("a", "r")])
    told: list[int] = []

    def tell(count: int) -> None:
        told.append(count)
        if count == 1:
            store(tmp_path, "p00-000000000001-000000000001", [("b", "r")])

    missing = await StoredEvents(tmp_path).wait_for(
        ["a", "b"], patience=timedelta(seconds=20), on_stored=tell
    )
    assert missing == 0
    assert told == [1, 2]


async def test_waiting_gives_up_when_nothing_comes(tmp_path: Path) -> None:
    stored = StoredEvents(tmp_path)
    async with asyncio.timeout(20):
        assert await stored.wait_for(["a"], patience=timedelta(seconds=0.1)) == 1
