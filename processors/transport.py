"""The record-batch transport: Faust's consumer, handing on batches instead of messages.

Faust's aiokafka transport makes one message of each record, which carries 13,000 records a second
into an agent; a batch for each partition and poll carries as many as aiokafka can fetch. Its
bookkeeping of single acknowledgements is replaced as well: what is committed is what the owner of
the partitions has made durable, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message

from runfold.processors.errors import log_gone
from runfold.processors.unpacking import batch_of, fetched_records
from runfold.schemas.errors import BrokerUnavailable, RunfoldError
from runfold.schemas.record_batch import RecordBatch

POLL_SECONDS = 0.5
_LAST_FLUSH_SECONDS = 10.0
_ANSWER_SECONDS = 5.0


class PartitionOwner(Protocol):
    """Who folds the partitions that this consumer is assigned. Called on the main event loop."""

    async def resume(
        self, partitions: set[int], bounds: Mapping[int, tuple[int, int]]
    ) -> dict[int, int]:
        """Take over `partitions`; return for each the offset to read from.

        Shape: `bounds` has the first and the next offset of the log of each.
        """

    def prepare(self, batch: RecordBatch) -> Any:
        """Return what is handed to the agent for `batch`; work on it may begin at once."""

    async def flush_all(self) -> None:
        """Make durable what can be made durable now."""

    def durable(self) -> dict[int, int]:
        """Return for each partition the offset up to which all is durable, exclusive."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The one topic that a worker reads, by name and by id, and who folds it."""

    topic: str
    topic_id: str
    owner: PartitionOwner


class RecordBatchThread(driver.AIOKafkaConsumerThread):
    """Fetches batches, in the consumer's own thread and event loop."""

    _one_fetch: asyncio.Lock | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sought: dict[TopicPartition, int] = {}
        """Where was sought to during the fetch that runs."""
        self._handed_on: dict[TopicPartition, int] = {}
        """Behind the last record that was handed on, or where reading began."""

    async def fetch_batches(self, topic_id: str, partitions: set[TP]) -> list[RecordBatch]:
        """Return what is there of `partitions`, at the latest after `POLL_SECONDS`.

        Raises: LogGone (halt) where the log has been cut off beyond the place read from.
        """
        return await self.call_thread(self._fetch_batches, topic_id, partitions)  # type: ignore[no-any-return]

    async def _fetch_batches(self, topic_id: str, partitions: set[TP]) -> list[RecordBatch]:
        if self._one_fetch is None:
            self._one_fetch = asyncio.Lock()
        consumer = self._ensure_consumer()
        async with self._one_fetch:  # an abandoned fetch still moves positions
            if not self.consumer.flow_active:
                return []
            subscriptions = consumer._fetcher._subscriptions
            assignment = subscriptions.subscription.assignment
            if assignment is None or not assignment.active:
                return []
            self._sought.clear()
            before = _positions(assignment, partitions)
            with subscriptions.fetch_context():
                fetched = await fetched_records(consumer._fetcher, set(before), POLL_SECONDS)
            if subscriptions.subscription.assignment is not assignment:
                return []  # the owner says where the new one is read from
            if self._sought:
                # Nobody knows which were read before a seek and which after it, and those that
                # come last would be missed only when others follow them.
                for tp in fetched:
                    consumer.seek(tp, self._sought.get(tp, before[tp]))
                return []
            for tp, records in fetched.items():
                if records[0].offset > before[tp]:
                    await self._check_not_cut_off(tp, before[tp])
                self._handed_on[tp] = records[-1].offset + 1
            return [batch_of(topic_id, tp, before[tp], records) for tp, records in fetched.items()]

    async def _check_not_cut_off(self, tp: TopicPartition, position: int) -> None:
        starts = await self._ensure_consumer().beginning_offsets([tp])
        if starts[tp] > position:
            raise log_gone(tp.topic, tp.partition, position, starts[tp])

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Read from `offsets` on."""
        await self.call_thread(self._seek_to, offsets)

    async def _seek_to(self, offsets: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        for tp, offset in offsets.items():
            place = TopicPartition(tp.topic, tp.partition)
            if place in consumer.assignment():
                consumer.seek(place, offset)
                self._sought[place] = self._handed_on[place] = offset

    async def bounds(self, partitions: set[TP]) -> dict[int, tuple[int, int]]:
        """Return the first and the next offset of the log of each partition."""
        places = [TopicPartition(tp.topic, tp.partition) for tp in partitions]
        consumer = self._ensure_consumer()
        starts = await self.call_thread(consumer.beginning_offsets, places)
        ends = await self.call_thread(consumer.end_offsets, places)
        return {tp.partition: (starts[tp], ends[tp]) for tp in places}

    async def log_ends(self, partitions: set[TP]) -> dict[int, int]:
        """Return where the records of each partition end. Raises: KafkaError, TimeoutError."""
        # Not by `call_thread`: a commit that hangs would hold up the question.
        asked = asyncio.run_coroutine_threadsafe(self._log_ends(partitions), self.thread_loop)
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await asyncio.wrap_future(asked)

    async def _log_ends(self, partitions: set[TP]) -> dict[int, int]:
        consumer = self._ensure_consumer()
        places = [TopicPartition(tp.topic, tp.partition) for tp in partitions]
        ends = await consumer.end_offsets(places)
        assignment = consumer._fetcher._subscriptions.subscription.assignment
        for place, position in _positions(assignment, partitions).items():
            if position >= ends[place]:
                # The log may go on with the marks of transactions, which are no records.
                ends[place] = self._handed_on.get(place, ends[place])
        return {place.partition: end for place, end in ends.items()}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        wanted = {TopicPartition(*tp): OffsetAndMetadata(at, "") for tp, at in offsets.items()}
        try:
            await consumer.commit({tp: at for tp, at in wanted.items() if tp in assigned})
        except KafkaError as error:  # the next commit says the same and more
            self.log.info("Offsets not committed now: %r", error)
            return False
        return True


def _positions(assignment: Any, partitions: set[TP]) -> dict[TopicPartition, int]:
    states = {
        place: None if assignment is None else assignment.state_value(place)
        for place in (TopicPartition(tp.topic, tp.partition) for tp in partitions)
    }
    return {
        place: state.position
        for place, state in states.items()
        if state is not None and state.has_valid_position
    }


class RecordBatchConsumer(driver.Consumer):
    """Faust's consumer over `RecordBatchThread`, with the owner's word on what is durable."""

    _thread: RecordBatchThread
    _committed: dict[TP, int]

    def _new_consumer_thread(self) -> RecordBatchThread:
        self._committed = {}
        return RecordBatchThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _subscription(self) -> Subscription:
        subscription: Subscription = self.app.subscription  # type: ignore[attr-defined]
        return subscription

    async def perform_seek(self) -> None:
        """Go where the owner continues; Kafka's committed offsets are only a hint."""
        assigned = {TP(*tp) for tp in self.assignment()}
        self._committed = {tp: at for tp, at in self._committed.items() if tp in assigned}
        bounds = await self._thread.bounds(assigned)
        offsets = await self._subscription.owner.resume({tp.partition for tp in assigned}, bounds)
        await self._thread.seek_to({tp: offsets[tp.partition] for tp in assigned})

    async def seek_back(self, tp: TP, offset: int) -> None:
        """Read a partition from `offset` on again."""
        await self._thread.seek_to({tp: offset})

    async def log_ends(self) -> dict[int, int]:
        """Ask Kafka where the log of each assigned partition ends.

        Raises: BrokerUnavailable (retry) where it does not answer within `_ANSWER_SECONDS`.
        """
        # Without a partition of its own a worker asks all the same, to see that Kafka answers.
        partitions = {TP(*tp) for tp in self.assignment()} or {TP(self._subscription.topic, 0)}
        try:
            return await self._thread.log_ends(partitions)
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailable(
                f"Kafka did not say in {_ANSWER_SECONDS:.0f} s where the log ends: {error!r}"
            ) from error

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            await self._hand_over_batches(fetcher)
        except (asyncio.CancelledError, ConsumerStoppedError):
            if not (self.app.should_stop or self.should_stop):
                raise  # Faust starts another fetcher after a rebalance

    async def _hand_over_batches(self, fetcher: Any) -> None:
        while not (self.should_stop or fetcher.should_stop):
            if not self.flow_active:
                await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
                continue
            generation = self.app.consumer_generation_id
            partitions = set(self._get_active_partitions())
            if not partitions:
                await self.sleep(0.1)
                continue
            batches = await self._thread.fetch_batches(self._subscription.topic_id, partitions)
            for batch in batches:
                if not self.flow_active or generation != self.app.consumer_generation_id:
                    break
                await self.wait_first(self.callback(self._message(batch)), self.suspend_flow.wait())
            await self.sleep(0)

    def _message(self, batch: RecordBatch) -> ConsumerMessage:
        tp = TP(self._subscription.topic, batch.log.partition)
        timestamp_seconds = batch.timestamps_ms[0] / 1000
        return ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            offset=batch.offsets[0],
            timestamp=timestamp_seconds,
            timestamp_type=1,
            headers=[],
            key=None,
            value=self._subscription.owner.prepare(batch),
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def on_stop(self) -> None:
        """Make durable and commit what was folded, then leave the group."""
        try:
            async with asyncio.timeout(_LAST_FLUSH_SECONDS):
                await self._subscription.owner.flush_all()
        except (TimeoutError, RunfoldError) as error:  # what is not durable is read again
            self.log.info("Not all is durable at the end: %r", error)
        finally:
            await super().on_stop()

    def ack(self, message: Message) -> bool:
        """Forget the message: what a batch held is durable when the owner says so, not before."""
        self._unacked_messages.discard(message)
        message.acked = True
        return True

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is durable and not committed yet."""
        del topics, start_new_transaction
        if self._thread.should_stop:  # after a crash nobody answers there; the lake knows the way
            return False
        assigned = {TP(*tp) for tp in self.assignment()}
        durable = {
            TP(self._subscription.topic, partition): offset
            for partition, offset in self._subscription.owner.durable().items()
        }
        news = {
            tp: offset
            for tp, offset in durable.items()
            if tp in assigned and self._committed.get(tp) != offset
        }
        if not news or not await self._thread.commit(news):
            return False
        self._committed.update(news)
        return True

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: a full buffer holds up `_drain_messages`, which is enough."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing; see `on_buffer_full`."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: progress is watched by what becomes durable."""


class RecordBatchTransport(driver.Transport):
    """Faust's aiokafka transport with `RecordBatchConsumer`."""

    Consumer = RecordBatchConsumer
