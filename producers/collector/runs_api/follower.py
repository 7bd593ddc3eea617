"""Following the log into the read model, so that answers tell of what was written before."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog

from runfold.producers.collector.log_writer import Placed
from runfold.producers.collector.runs_api.lifecycle import lifecycle_events
from runfold.producers.collector.runs_api.store import RunsStore
from runfold.producers.kafka_errors import broker_errors
from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.errors import BrokerUnavailable, RunfoldError
from runfold.schemas.lake import LogDescription

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

Describe = Callable[[], Awaitable[LogDescription]]
"""Asks Kafka which log the topic is now. Raises: RunfoldError."""

_POLL_MS = 500
_LOOK_EVERY_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


class RunsFollower:
    """Reads the log from where the store stands, for as long as the `async with` block lasts.

    Delivery: an event counts as reached when its rows are committed.
    """

    def __init__(
        self,
        bootstrap: str,
        store: RunsStore,
        describe: Describe,
        *,
        framing: Framing = EVENT_FRAMING,
        patience: timedelta = timedelta(seconds=5),
    ) -> None:
        """`patience` is how long an answer may wait for what was written before."""
        self.store = store
        self.on_change: Callable[[], None] = lambda: None
        self._bootstrap = bootstrap
        self._describe = describe
        self._framing = framing
        self._patience_seconds = patience.total_seconds()
        self._consumer: AIOKafkaConsumer | None = None
        self._places: list[TopicPartition] = []
        self._reached: dict[int, int] = {}
        self._level = False
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.store.file.close()

    async def ready(self) -> None:
        """Return when all is known that was in the log before the first question.

        Raises: BrokerUnavailable (retry) after `patience`.
        """
        if not self._level:
            await self.caught_up()
            self._level = True

    async def caught_up(self) -> None:
        """Return when all that is in the log now is known. Raises: BrokerUnavailable (retry)."""
        async with self._in_time():
            while self._consumer is None:
                await self._moved.wait()
            with broker_errors(self._bootstrap):
                ends = await self._consumer.end_offsets(self._places)
            await self._until({place.partition: end for place, end in ends.items()})

    async def applied(self, places: Iterable[Placed]) -> None:
        """Return when what lies at `places` is known. Raises: BrokerUnavailable (retry)."""
        wanted: dict[int, int] = {}
        for place in places:
            wanted[place.partition] = max(wanted.get(place.partition, 0), place.offset + 1)
        async with self._in_time():
            await self._until(wanted)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience_seconds):
                yield
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"the log was not read back from Kafka within {self._patience_seconds:g} s"
            ) from error

    async def _until(self, wanted: Mapping[int, int]) -> None:
        while any(self._reached.get(partition, -1) < end for partition, end in wanted.items()):
            await self._moved.wait()

    def _notify(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _follow(self) -> None:
        logger = structlog.get_logger(__name__)
        while True:
            try:
                await self._follow_log(await self._describe())
            except (RunfoldError, sqlite3.Error, OSError) as error:
                logger.warning("the log is not followed now", error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception:  # nobody waits for this task: it must not end unseen
                logger.exception("the log is not followed now")
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow_log(self, log: LogDescription) -> None:
        """Follow one log until the topic is another, or has more partitions."""
        from aiokafka import AIOKafkaConsumer, TopicPartition

        offsets = await asyncio.to_thread(self.store.begin, log)
        self._level = False
        self._places = [TopicPartition(log.topic, partition) for partition in offsets]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id="runfold-runs-api",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            with broker_errors(self._bootstrap):
                await consumer.start()
                consumer.assign(self._places)
                for place in self._places:
                    consumer.seek(place, offsets[place.partition])
            self._reached, self._consumer = offsets, consumer
            self._notify()
            self.on_change()
            await self._read_on(consumer, log)
        finally:
            self._consumer = None
            await asyncio.shield(consumer.stop())

    async def _read_on(self, consumer: AIOKafkaConsumer, log: LogDescription) -> None:
        clock = asyncio.get_running_loop().time
        look_at = clock() + _LOOK_EVERY_SECONDS
        while True:
            with broker_errors(self._bootstrap):
                fetched = await consumer.getmany(timeout_ms=_POLL_MS)
                reached = {each.partition: await consumer.position(each) for each in self._places}
            if fetched or reached != self._reached:
                await self._take(log, fetched, reached)
            if clock() >= look_at:
                if await self._describe() != log:
                    return
                look_at = clock() + _LOOK_EVERY_SECONDS

    async def _take(
        self,
        log: LogDescription,
        fetched: Mapping[TopicPartition, list[Any]],
        reached: dict[int, int],
    ) -> None:
        moved = {at: offset for at, offset in reached.items() if offset != self._reached.get(at)}
        applying = asyncio.create_task(asyncio.to_thread(self._apply, log, fetched, moved))
        try:
            changed = await asyncio.shield(applying)
        finally:  # the file is closed behind what is being written
            await asyncio.wait({applying})
        self._reached = reached
        if changed:
            self.on_change()
        self._notify()

    def _apply(
        self,
        log: LogDescription,
        fetched: Mapping[TopicPartition, list[Any]],
        reached: dict[int, int],
    ) -> bool:
        records = {place.partition: found for place, found in fetched.items()}
        events = list(lifecycle_events(records, self._framing))
        return self.store.apply(log.topic_id, events, reached)
