"""What a collector follows in the background is followed again, whatever went wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from runfold.processors.fold import fold
from runfold.producers import key_log
from runfold.producers.collector.runs_api import RunsFollower, RunsStore, follower
from runfold.producers.collector.runs_api.file import RunsFile
from runfold.producers.key_log import KeyLog
from runfold.schemas.lake import LogDescription

NOWHERE = "127.0.0.1:1"


class Odd:
    """Fails in a way that nobody has thought of; `again` is set when it is asked once more."""

    def __init__(self) -> None:
        self.again = asyncio.Event()
        self._asked = 0

    async def __call__(self, *_: object, **__: object) -> LogDescription:
        self._asked += 1
        if self._asked == 2:
            self.again.set()
        raise ValueError("odd")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_log, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(follower, "_PAUSE_SECONDS", 0.0)


async def test_keys_are_followed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Odd()
    monkeypatch.setattr(key_log, "ensure_topics", odd)
    with structlog.testing.capture_logs() as said:
        async with KeyLog(NOWHERE).following(lambda *_: None, lambda: None):
            await asyncio.wait_for(odd.again.wait(), 30)
    assert said[0]["exc_info"]


async def test_the_log_is_followed_again(tmp_path: Path) -> None:
    odd = Odd()
    with structlog.testing.capture_logs() as said:
        store = RunsStore(RunsFile(tmp_path / "runs.sqlite"), fold)
        async with RunsFollower(NOWHERE, store, odd):
            await asyncio.wait_for(odd.again.wait(), 30)
    assert said[0]["exc_info"]
