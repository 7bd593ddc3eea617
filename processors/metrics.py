"""What a worker counts, as one closed list that Prometheus reads."""

from __future__ import annotations

import importlib.metadata
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import NamedTuple

import prometheus_client.metrics_core as prometheus
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from runfold.processors.standing import PartitionStanding, Standing
from runfold.schemas.errors import (
    BrokerUnavailable,
    LakeAhead,
    LakeCorrupt,
    LakeUnavailable,
    LogReplaced,
    RegistryUnavailable,
    RunfoldError,
    StatesSwitched,
)
from runfold.schemas.lake import Flush, FlushCounts
from runfold.schemas.vocabulary import DeadLetterReason


class Metric(NamedTuple):
    """One metric: `labels` are all that it ever has; a name says its unit."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


READY = Metric("runfold_worker_ready", "gauge", (), "1 while /readyz says ready, else 0.")
LAG = Metric(
    "runfold_worker_lag_records",
    "gauge",
    ("partition",),
    "Records in the log and not in the lake, of a partition that this worker is assigned.",
)
LOG_END = Metric(
    "runfold_worker_log_end_offset", "gauge", ("partition",), "Where the partition's log ends."
)
DURABLE = Metric(
    "runfold_worker_durable_offset",
    "gauge",
    ("partition",),
    "Offset up to which all of the partition is in the lake, exclusive.",
)
RUNS_HELD = Metric("runfold_worker_runs_held", "gauge", (), "Run states held in memory.")
RUNS_PAST = Metric(
    "runfold_worker_runs_past",
    "gauge",
    (),
    "Runs known by their id alone; their states are in the lake.",
)
RECORDS = Metric(
    "runfold_worker_records_total",
    "counter",
    (),
    "Records made durable; events, duplicates and dead letters together.",
)
EVENTS = Metric("runfold_worker_events_total", "counter", (), "Events written to the lake.")
DUPLICATES = Metric(
    "runfold_worker_duplicates_total", "counter", (), "Records dropped: their run had seen the id."
)
DEAD_LETTERS = Metric(
    "runfold_worker_dead_letters_total",
    "counter",
    ("reason",),
    "Records that could not become an event, by reason.",
)
FLUSH_SECONDS = Metric(
    "runfold_worker_flush_seconds",
    "histogram",
    ("le",),
    "Time to make one range of one partition durable; its count is the number of flushes.",
)
RETRIES = Metric(
    "runfold_worker_retries_total",
    "counter",
    ("code",),
    "Flushes and batches that had to wait and be tried again, by the code of the error.",
)
READ_AGAIN = Metric(
    "runfold_worker_read_again_total",
    "counter",
    (),
    "Times that the consumer was sent back to records that it had passed over.",
)
REBALANCES = Metric(
    "runfold_worker_rebalances_total", "counter", (), "Rebalances of the consumer group seen."
)
LAST_FLUSH = Metric(
    "runfold_worker_last_flush_timestamp_seconds",
    "gauge",
    (),
    "When something was last made durable, seconds since 1970 UTC; 0 before the first time.",
)
BUILD = Metric("runfold_worker_build_info", "gauge", ("version",), "Always 1; the version runs.")

METRICS = (
    READY, LAG, LOG_END, DURABLE, RUNS_HELD, RUNS_PAST, RECORDS, EVENTS, DUPLICATES,
    DEAD_LETTERS, FLUSH_SECONDS, RETRIES, READ_AGAIN, REBALANCES, LAST_FLUSH, BUILD,
)  # fmt: skip
"""All that a worker serves; `docs/metrics.md` lists the same."""

RETRIED: tuple[type[RunfoldError], ...] = (
    BrokerUnavailable, RegistryUnavailable, LakeUnavailable, LakeAhead, LakeCorrupt,
    LogReplaced, StatesSwitched,
)  # fmt: skip
"""All errors that say to try again."""
_FLUSH_BOUNDS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class WorkerMetrics(Collector):
    """The metrics of one worker. Counted on its event loop, rendered from any thread."""

    def __init__(self, standing: Callable[[], Standing], ready: Callable[[], bool]) -> None:
        self._standing = standing
        self._ready = ready
        self._counts = FlushCounts()
        self._dead_letters = Counter(dict.fromkeys(map(str, DeadLetterReason), 0))
        self._retries = Counter({each.code: 0 for each in RETRIED})
        self._flushes = [0] * (len(_FLUSH_BOUNDS_SECONDS) + 1)
        self._flush_seconds = 0.0
        self._last_flush = 0.0
        self._read_again = 0
        self._version = importlib.metadata.version("runfold")
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def flushed(self, flush: Flush, seconds: float) -> None:
        """Count a range that became durable."""
        self._counts += flush.counts
        if flush.events is not None:
            self._dead_letters.update(flush.events["dead_letter_reason"].drop_nulls().to_list())
        self._flushes[bisect_left(_FLUSH_BOUNDS_SECONDS, seconds)] += 1
        self._flush_seconds += seconds
        self._last_flush = time.time()

    def held_up(self, error: RunfoldError) -> None:
        """Count what must be tried again."""
        self._retries[error.code] += 1

    def read_again(self) -> None:
        """Count that the consumer was sent back."""
        self._read_again += 1

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[prometheus.Metric]:
        """Yield all metrics, those of `METRICS` in their order."""
        standing = self._standing()
        yield _gauge(READY, float(self._ready()))
        yield _by_partition(LAG, standing, lambda each: each.lag_records)
        yield _by_partition(LOG_END, standing, lambda each: each.log_end)
        yield _by_partition(DURABLE, standing, lambda each: each.durable_offset)
        yield _gauge(RUNS_HELD, standing.runs_held)
        yield _gauge(RUNS_PAST, standing.runs_past)
        yield _counter(RECORDS, self._counts.records)
        yield _counter(EVENTS, self._counts.events)
        yield _counter(DUPLICATES, self._counts.duplicates)
        yield _labelled_counter(DEAD_LETTERS, self._dead_letters)
        yield self._flush_histogram()
        yield _labelled_counter(RETRIES, self._retries)
        yield _counter(READ_AGAIN, self._read_again)
        yield _counter(REBALANCES, standing.rebalances)
        yield _gauge(LAST_FLUSH, self._last_flush)
        build = prometheus.GaugeMetricFamily(BUILD.name, BUILD.meaning, labels=BUILD.labels)
        build.add_metric([self._version], 1)
        yield build

    def _flush_histogram(self) -> prometheus.Metric:
        bounds = [*map(str, _FLUSH_BOUNDS_SECONDS), "+Inf"]
        counted = accumulate(self._flushes)
        return prometheus.HistogramMetricFamily(
            FLUSH_SECONDS.name,
            FLUSH_SECONDS.meaning,
            buckets=list(zip(bounds, map(float, counted), strict=True)),
            sum_value=self._flush_seconds,
        )


def _gauge(metric: Metric, value: float) -> prometheus.Metric:
    return prometheus.GaugeMetricFamily(metric.name, metric.meaning, value=value)


def _counter(metric: Metric, value: float) -> prometheus.Metric:
    return prometheus.CounterMetricFamily(metric.name, metric.meaning, value=value)


def _by_partition(
    metric: Metric, standing: Standing, value_of: Callable[[PartitionStanding], int | None]
) -> prometheus.Metric:
    family = prometheus.GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for partition, each in standing.partitions.items():
        value = value_of(each)
        if value is not None:
            family.add_metric([str(partition)], value)
    return family


def _labelled_counter(metric: Metric, counted: Counter[str]) -> prometheus.Metric:
    family = prometheus.CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for label, count in counted.items():
        family.add_metric([label], count)
    return family
