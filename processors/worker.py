"""One worker: a Faust app that folds its share of the partitions into the lake."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.types import TP
from faust.types.transports import TransportT

from runfold.processors.dead_letter_cap import DeadLetterCap
from runfold.processors.dead_letters import DeadLetterSender
from runfold.processors.folds import DEFAULT_FOLD, find_fold
from runfold.processors.log_guard import LogGuard, check_partitions
from runfold.processors.monitor import LOOK_SECONDS, Seen, WorkerMonitor, stall_window
from runfold.processors.partitions import FlushPolicy, OnProgress, Partitions, PreparedBatch
from runfold.processors.resumption import Folding
from runfold.processors.topic_watch import TopicWatch
from runfold.processors.transport import RecordBatchConsumer, RecordBatchTransport, Subscription
from runfold.processors.upkeep import UPKEEP_INTERVAL, Upkeep
from runfold.schemas.codec.confluent import event_framing
from runfold.schemas.errors import BrokerUnavailable, LogGone, RunfoldError
from runfold.schemas.lake import LakeStore, LogDescription
from runfold.schemas.topic import EVENTS

log = structlog.get_logger(__name__)

_MOST_BYTES_A_FETCH = 4 * 1024 * 1024
_BATCHES_WAITING = 4


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What one worker reads, and as whom.

    Shape: `bootstrap` is HOST:PORT; workers of one `group` share the partitions of `topic`;
    `schema_registry` is the address of one, where records are framed with its ids.
    Units: `session_timeout_seconds` is the silence after which Kafka gives a worker's partitions
    to another one. `dead_letter_cap` is the share of the recent records beyond which the worker
    halts instead of making dead letters of them; 1 is never reached.
    """

    bootstrap: str
    group: str = "runfold"
    topic: str = EVENTS.name
    schema_registry: str | None = None
    fold: str = DEFAULT_FOLD
    flush: FlushPolicy = field(default_factory=FlushPolicy)
    session_timeout_seconds: float = 10.0
    dead_letter_cap: float = 0.5


class WorkerApp(faust.App):
    """A Faust app over the record-batch transport."""

    subscription: Subscription

    def _create_directories(self) -> None:
        """Create none: Faust keeps no tables here."""

    def _new_transport(self) -> TransportT:
        return RecordBatchTransport(self.conf.broker_consumer, self)


def build_app(
    settings: WorkerSettings, owner: Partitions, log_id: str, monitor: WorkerMonitor, upkeep: Upkeep
) -> WorkerApp:
    """Return the Faust app of one worker.

    Shape: one agent over the events, one timer that flushes, one task that looks how they get on,
    one that compacts the lake.
    """
    app = WorkerApp(
        settings.group,
        broker=f"kafka://{settings.bootstrap}",
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=_BATCHES_WAITING,
        broker_commit_interval=settings.flush.interval.total_seconds(),
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds / 5,
        consumer_max_fetch_size=_MOST_BYTES_A_FETCH,
        consumer_auto_offset_reset="earliest",
        worker_redirect_stdouts=False,
    )
    app.subscription = Subscription(settings.topic, log_id, owner)
    topic = app.topic(settings.topic, key_serializer="raw", value_serializer="raw")

    async def seek_back(partition: int, offset: int) -> None:
        consumer: RecordBatchConsumer = app.consumer  # type: ignore[assignment]
        await consumer.seek_back(TP(settings.topic, partition), offset)

    @app.agent(topic, name="fold-events")
    async def fold_events(batches: AsyncIterable[PreparedBatch]) -> None:
        async for prepared in batches:
            try:
                await owner.take(prepared, seek_back)
            except RunfoldError as error:
                log.error("folding stops", code=error.code, error=str(error))
                await app.crash(error)
                raise
            except Exception as error:
                # Faust would go on with the next batch over a table that is half folded.
                batch = prepared.batch
                log.exception("folding failed", partition=batch.log.partition, at=batch.position)
                await app.crash(error)
                raise

    @app.timer(settings.flush.interval, name="flush")  # type: ignore[untyped-decorator]
    async def flush() -> None:
        try:
            await owner.flush_all()
            await app.consumer.commit()
        except RunfoldError as error:
            await app.crash(error)
            raise

    @app.task  # type: ignore[untyped-decorator]
    async def watch() -> None:
        while not app.should_stop:
            monitor.look(await _seen(app, owner))
            await app.sleep(LOOK_SECONDS)

    @app.task  # type: ignore[untyped-decorator]
    async def keep_files_few() -> None:
        while not app.should_stop:
            await app.sleep(UPKEEP_INTERVAL.total_seconds())
            await upkeep.round()

    return app


async def _seen(app: WorkerApp, owner: Partitions) -> Seen:
    consumer: RecordBatchConsumer = app.consumer  # type: ignore[assignment]
    log_ends: dict[int, int] = {}
    unreachable = None
    try:
        log_ends = await consumer.log_ends()
    except BrokerUnavailable as error:
        unreachable = error
    assigned = {tp.partition for tp in consumer.assignment()}
    return Seen(log_ends, unreachable, assigned, owner.progress(), app.rebalancing_count)


def run_worker(
    settings: WorkerSettings,
    lake: LakeStore,
    *,
    monitor: WorkerMonitor | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Run one worker until SIGTERM or SIGINT; what was folded is flushed before it ends.

    Shape: `monitor` is told how the worker gets on, for others to read; stalls are logged anyway.
    Raises: ConfigurationError, LogGone, PartitionsAdded (halt), or what is to be tried again by
    beginning anew (`disposition` retry).
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    watch = TopicWatch(settings.bootstrap, settings.topic)
    topic = loop.run_until_complete(watch.look())
    check_partitions(lake.describe(topic), topic)
    guard = LogGuard(watch, topic)
    sender = DeadLetterSender(settings.bootstrap, settings.topic)
    monitor = monitor or WorkerMonitor(stall_window(settings.flush.interval))
    owner = Partitions(
        settings.topic,
        topic.topic_id,
        lake=lake,
        dead_letters=sender,
        policy=settings.flush,
        folding=Folding(event_framing(settings.schema_registry), find_fold(settings.fold)),
        check_log=guard.check,
        cap=DeadLetterCap(settings.dead_letter_cap),
        on_progress=on_progress,
        observer=monitor,
    )
    upkeep = Upkeep(lake, topic.topic_id, owner.positions)
    app = build_app(settings, owner, topic.topic_id, monitor, upkeep)
    worker: Any = faust.Worker(app, loop=loop, override_logging=False, redirect_stdouts=False)
    worker.spinner = None
    _spare_the_garbage_collector()
    log.info("worker starts", broker=settings.bootstrap, group=settings.group, log=topic.topic_id)
    try:
        worker.execute_from_commandline()
    except BaseException as ended:
        cause = _cause(worker, app, ended)
        if isinstance(cause, LogGone):
            asyncio.run(_check_again(settings, topic))
        if cause is not None:
            raise cause from ended
        if not isinstance(ended, SystemExit) or ended.code:
            raise
    log.info("worker stopped")


async def _check_again(settings: WorkerSettings, topic: LogDescription) -> None:
    """Tell a topic that was created again from one that lost its records. Raises: LogReplaced."""
    watch = TopicWatch(settings.bootstrap, settings.topic)
    try:
        with suppress(BrokerUnavailable):
            await LogGuard(watch, topic).check()
    finally:
        await watch.close()


def _spare_the_garbage_collector() -> None:
    """Look for reference cycles rarely: run states have none, and there are many of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _cause(worker: Any, app: WorkerApp, ended: BaseException) -> RunfoldError | None:
    """Return the error, in our words, that ended the worker."""
    for reason in (worker.crash_reason, app.crash_reason, *_chain(ended)):
        if isinstance(reason, RunfoldError):
            return reason
        if isinstance(reason, KafkaError):
            return BrokerUnavailable(f"Kafka failed the worker: {reason!r}")
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield what led to `error`: Faust turns what fails it as it starts into an exit code."""
    passed: set[int] = set()
    while error is not None and id(error) not in passed:  # Faust raises again what it has caught
        passed.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
