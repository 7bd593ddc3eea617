"""The partitions that one worker owns: what is folded, made durable, and resumed.

The order of a flush is dead letters, then the lake, then Kafka's commit. A crash between any two
of them loses nothing and doubles nothing, since what is derived carries the range it came from.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from runfold.processors.dead_letter_cap import DeadLetterCap
from runfold.processors.observer import Observer
from runfold.processors.resumption import Folding, resumed_table
from runfold.processors.run_table import DeadLetter, RunTable
from runfold.schemas.codec.columns import DecodedBatch, decode_event_batch
from runfold.schemas.errors import BrokerUnavailable, LakeUnavailable, RegistryUnavailable
from runfold.schemas.lake import FlushCounts, LakeStore
from runfold.schemas.offsets import LogPartition
from runfold.schemas.record_batch import RecordBatch

log = structlog.get_logger(__name__)

_MOST_RUNS_HELD = 200_000
"""By one worker, whatever the number of its partitions; some 2.2 KB each."""


class DeadLetterQueue(Protocol):
    """Keeps what could not become an event."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are durable. Raises: BrokerUnavailable (retry)."""


SeekBack = Callable[[int, int], Awaitable[None]]
"""Makes the consumer read a partition from an offset on again: partition, offset."""


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When folded records are written to the lake.

    Units: `most_records` records of one partition that may wait; more are not read until they
    are written.
    """

    interval: timedelta = timedelta(seconds=2)
    most_records: int = 200_000
    first_pause: timedelta = timedelta(milliseconds=200)
    longest_pause: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a worker is, by partition; `counts` are of all that it made durable.

    Shape: `runs_held` are in memory, `runs_past` in the lake only.
    """

    next_offsets: dict[int, int]
    durable_offsets: dict[int, int]
    runs_held: int
    runs_past: int
    counts: FlushCounts


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch that is being decoded."""

    batch: RecordBatch
    decoding: asyncio.Future[DecodedBatch]


CheckLog = Callable[[], Awaitable[None]]
"""Returns where the topic is still the log that was begun with; see `LogGuard.check`."""
OnProgress = Callable[[Progress], None]
"""Called on the event loop when partitions were taken over and after each round of flushes."""


class Partitions:
    """Owns the run tables of the assigned partitions. Used from one event loop."""

    def __init__(
        self,
        topic: str,
        topic_id: str,
        *,
        lake: LakeStore,
        dead_letters: DeadLetterQueue,
        policy: FlushPolicy,
        folding: Folding | None = None,
        check_log: CheckLog,
        cap: DeadLetterCap | None = None,
        on_progress: OnProgress | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._topic = topic
        self._topic_id = topic_id
        self._lake = lake
        self._dead_letters = dead_letters
        self._policy = policy
        self._folding = folding or Folding()
        self._check_log = check_log
        self._cap = DeadLetterCap() if cap is None else cap
        self._on_progress = on_progress
        self._observer = observer or Observer()
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._tables: dict[int, RunTable] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._writing = asyncio.Lock()
        self._counts = FlushCounts()

    def durable(self) -> dict[int, int]:
        """Return for each partition the offset up to which all is durable, exclusive."""
        return {partition: table.durable_offset for partition, table in self._tables.items()}

    def progress(self) -> Progress:
        """Return how far this worker is."""
        tables = self._tables.values()
        return Progress(
            self.positions(),
            self.durable(),
            runs_held=sum(len(table) for table in tables),
            runs_past=sum(table.past_count for table in tables),
            counts=self._counts,
        )

    async def resume(
        self, partitions: set[int], bounds: Mapping[int, tuple[int, int]]
    ) -> dict[int, int]:
        """Take over `partitions`; return for each the offset to read from.

        Shape: `bounds` has the first and the next offset of the log of each; see `resumed_table`.
        Raises: LogGone, PartitionsAdded (halt), LogReplaced, BrokerUnavailable, LakeUnavailable
        (retry).
        """
        await self._check_log()
        for partition in self._tables.keys() - partitions:
            del self._tables[partition]
        for partition in sorted(partitions):
            async with self._lock(partition):
                self._tables[partition] = await asyncio.to_thread(
                    resumed_table,
                    LogPartition(self._topic_id, partition),
                    self._tables.get(partition),
                    bounds[partition],
                    topic=self._topic,
                    lake=self._lake,
                    folding=self._folding,
                )
        for table in self._tables.values():
            table.most_runs = _MOST_RUNS_HELD // len(self._tables)
        progress = self.progress()
        log.info("partitions resumed", next_offsets=progress.next_offsets, runs=progress.runs_past)
        self._tell()
        return progress.next_offsets

    def positions(self) -> dict[int, int]:
        """Return for each partition the offset to read next."""
        return {partition: table.next_offset for partition, table in self._tables.items()}

    def prepare(self, batch: RecordBatch) -> PreparedBatch:
        """Begin to decode a batch in another thread, while earlier ones are folded."""
        loop = asyncio.get_running_loop()
        framing = self._folding.framing
        decoding = loop.run_in_executor(self._decoder, decode_event_batch, batch, framing)
        decoding.add_done_callback(_note_failure)  # a batch may be dropped on its way to `take`
        return PreparedBatch(batch, decoding)

    async def take(self, prepared: PreparedBatch, seek_back: SeekBack) -> None:
        """Fold a batch; where records before it are missing, have them read again.

        Raises: TooManyDeadLetters (halt), nothing of the batch folded.
        """
        batch = prepared.batch
        partition = batch.log.partition
        try:
            decoded = await prepared.decoding
        except RegistryUnavailable as error:
            log.warning("folding waits", partition=partition, error=str(error))
            self._observer.held_up(partition, error)
            await asyncio.sleep(self._policy.longest_pause.total_seconds())
            decoded = None
        async with self._lock(partition):
            table = self._tables.get(partition)
            if table is None:
                return
            if decoded is None or batch.position > table.next_offset:
                log.info("reading again", partition=partition, needed=table.next_offset)
                self._observer.reads_again(partition)
                await seek_back(partition, table.next_offset)
                return
            try:
                await self._bring_back(table, decoded)
            except LakeUnavailable as error:
                log.warning("folding waits", partition=partition, error=str(error))
                self._observer.held_up(partition, error)
                await asyncio.sleep(self._policy.first_pause.total_seconds())
                await seek_back(partition, table.next_offset)
                return
            place = f"{self._topic} partition {partition} offset {table.next_offset}"
            self._cap.watch(len(batch), decoded.rejected, place)
            table.take(batch, decoded)
        await self._hold_back(partition)

    async def _bring_back(self, table: RunTable, decoded: DecodedBatch) -> None:
        """Hold the states of silent runs that speak again."""
        past = table.past_runs(decoded.frame)
        if past:
            table.bring_back(await asyncio.to_thread(self._lake.states_of, table.log, past))

    async def _hold_back(self, partition: int) -> None:
        pause = self._policy.first_pause
        while (
            table := self._tables.get(partition)
        ) is not None and table.pending_records >= self._policy.most_records:
            if not await self.flush(partition):
                await asyncio.sleep(pause.total_seconds())
                pause = min(pause * 2, self._policy.longest_pause)

    async def flush_all(self) -> None:
        """Make durable what can be made durable now.

        Raises: LogReplaced (retry), PartitionsAdded (halt), also where nothing is to be written.
        """
        try:
            await self._check_log()
        except BrokerUnavailable as error:
            log.warning("flush waits", code=error.code, error=str(error))
        else:
            for partition in sorted(self._tables):
                await self.flush(partition)
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.progress())

    async def flush(self, partition: int) -> bool:
        """Make one partition durable; return False where it must wait for a broker or a lake.

        Raises: LogReplaced (retry), PartitionsAdded (halt), with nothing written.
        """
        async with self._lock(partition):
            table = self._tables.get(partition)
            flush = None if table is None else table.pending()
            if table is None or flush is None:
                return True
            started = time.monotonic()
            try:
                await self._check_log()
                if table.dead_letters:
                    await self._dead_letters.send(table.dead_letters)
                    table.dead_letters.clear()
                async with self._writing:
                    await asyncio.to_thread(self._lake.write, flush)
            except (BrokerUnavailable, LakeUnavailable) as error:
                log.warning("flush waits", partition=partition, code=error.code, error=str(error))
                self._observer.held_up(partition, error)
                return False
            table.flushed(flush)
            self._counts += flush.counts
        seconds = time.monotonic() - started
        self._observer.flushed(flush, seconds)
        log.debug(
            "flushed",
            partition=partition,
            range=str(flush.range),
            records=flush.counts.records,
            seconds=round(seconds, 3),
        )
        return True

    def _lock(self, partition: int) -> asyncio.Lock:
        return self._locks.setdefault(partition, asyncio.Lock())


def _note_failure(decoding: asyncio.Future[DecodedBatch]) -> None:
    if not decoding.cancelled():
        decoding.exception()
