"""Keeping the files of the lake few, beside the folding and without holding it up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog

from runfold.schemas.errors import RunfoldError
from runfold.schemas.lake import LakeStore
from runfold.schemas.offsets import LogPartition

UPKEEP_INTERVAL = timedelta(seconds=60)

log = structlog.get_logger(__name__)


class Upkeep:
    """Compacts the partitions that a worker owns, one after the other, in a thread."""

    def __init__(self, lake: LakeStore, topic_id: str, owned: Callable[[], Iterable[int]]) -> None:
        self._lake = lake
        self._topic_id = topic_id
        self._owned = owned
        self._stopped = threading.Event()

    async def round(self) -> None:
        """Compact each partition once. What fails is logged and tried again in the next round.

        A cancelled round leaves what it was doing, which then ends soon by itself.
        """
        for partition in sorted(self._owned()):
            if partition not in self._owned():  # it went to another worker meanwhile
                continue
            try:
                await asyncio.to_thread(
                    self._lake.compact,
                    LogPartition(self._topic_id, partition),
                    stopped=self._stopped.is_set,
                )
            except asyncio.CancelledError:
                self._stopped.set()
                raise
            except RunfoldError as error:
                log.warning("upkeep waits", partition=partition, code=error.code, error=str(error))
            except Exception:  # a lake of many files is no reason to stop folding
                log.exception("upkeep failed", partition=partition)
