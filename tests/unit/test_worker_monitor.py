"""A worker's standing: ready or not, why, what is logged of it, and what metrics say."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from runfold.deploy.worker_http import serving_worker
from runfold.deploy.worker_status import ask_readiness
from runfold.processors.metrics import METRICS, RETRIED
from runfold.processors.monitor import Seen, WorkerMonitor, stall_window
from runfold.processors.partitions import Progress
from runfold.schemas import errors
from runfold.schemas.errors import BrokerUnavailable, ConfigurationError, LakeUnavailable
from runfold.schemas.lake import Flush, FlushCounts
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.vocabulary import DeadLetterReason

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
FULL = LakeUnavailable("cannot write p00: No space left on device")
GONE = BrokerUnavailable("Kafka did not say in 5 s where the log ends")


class Watched:
    """A worker with a clock of its own, looked at every two seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.monitor = WorkerMonitor(timedelta(seconds=30), clock=lambda: self.now)
        self.log_ends: dict[int, int] = {}
        self.durable: dict[int, int] = {}
        self.assigned = {0, 1}
        self.unreachable: BrokerUnavailable | None = None

    def runs(self, seconds: float) -> None:
        for _ in range(int(seconds // 2)):
            self.now += 2
            self.looks()

    def looks(self) -> None:
        ends = {} if self.unreachable else self.log_ends
        progress = Progress({}, self.durable, 7, 9, FlushCounts())
        self.monitor.look(Seen(ends, self.unreachable, self.assigned, progress, rebalances=3))

    @property
    def reasons(self) -> dict[str, str]:
        said = self.monitor.readiness()
        assert said["ready"] == (not said["reasons"]) == self.monitor.ready
        return {each["reason"]: each["message"] for each in said["reasons"]}


@pytest.fixture
def watched() -> Watched:
    return Watched()


def flush_of(*reasons: str | None, duplicates: int = 0) -> Flush:
    dead = sum(each is not None for each in reasons)
    counts = FlushCounts(len(reasons) + duplicates, len(reasons) - dead, duplicates, dead)
    rows = pl.DataFrame({"dead_letter_reason": reasons}, schema={"dead_letter_reason": pl.String})
    return Flush(LogPartition("t", 0), OffsetRange(0, counts.records - 1), rows, [], counts, 0)


def test_a_worker_is_not_ready_before_it_has_taken_over_its_partitions(watched: Watched) -> None:
    assert "starting" in watched.reasons
    watched.monitor.waits_to_start(GONE)
    assert watched.reasons == {"starting": f"broker_unavailable: {GONE}"}
    watched.log_ends = watched.durable = {0: 5, 1: 5}
    watched.looks()
    assert watched.reasons == {}


def test_a_worker_that_others_left_no_partition_is_ready(watched: Watched) -> None:
    watched.assigned, watched.log_ends = set(), {0: 50}
    watched.runs(120)
    assert watched.reasons == {}
    assert watched.monitor.readiness()["partitions"] == {}


def test_a_stall_names_the_partition_its_place_and_the_last_error(watched: Watched) -> None:
    watched.log_ends, watched.durable = {0: 20, 1: 9}, {0: 11, 1: 9}
    watched.monitor.held_up(0, FULL)
    watched.runs(32)
    assert watched.reasons == {
        "stalled": "no progress in partition 0 for 30 s, 9 records to go (lake_unavailable: "
        "cannot write p00: No space left on device)"
    }
    said = watched.monitor.readiness()["partitions"]
    assert said["0"] == {
        "log_end": 20,
        "durable_offset": 11,
        "lag_records": 9,
        "stalled_seconds": 30.0,
        "held_up_by": {"code": "lake_unavailable", "message": str(FULL)},
    }
    assert said["1"]["stalled_seconds"] is None
    watched.monitor.flushed(flush_of(None), 0.1)
    watched.durable = {0: 12, 1: 9}
    watched.runs(2)
    assert watched.reasons == {}
    assert watched.monitor.readiness()["partitions"]["0"]["held_up_by"] is None


def test_stalls_of_one_kind_are_told_in_one_sentence(watched: Watched) -> None:
    watched.assigned = {0, 1, 2, 3}
    watched.log_ends, watched.durable = {0: 20, 1: 20, 2: 2000, 3: 9}, {0: 11, 1: 12, 2: 0}
    watched.monitor.held_up(0, FULL)
    watched.monitor.held_up(1, LakeUnavailable("cannot write p01: No space left on device"))
    watched.runs(32)
    assert watched.reasons["stalled"] == (
        f"no progress in partitions 0, 1 for 30 s, 17 records to go (lake_unavailable: {FULL}); "
        "no progress in partition 2 for 30 s, 2,000 records to go (no error was reported); "
        "no progress in partition 3 for 30 s, 0 records to go (not taken over yet)"
    )


def test_a_silent_broker_is_a_reason_by_itself(watched: Watched) -> None:
    watched.log_ends = watched.durable = {0: 5, 1: 5}
    watched.runs(2)
    watched.unreachable = GONE
    watched.runs(2)
    assert watched.reasons == {"broker_unreachable": str(GONE)}
    assert watched.monitor.readiness()["partitions"]["0"]["log_end"] == 5  # as last heard
    watched.unreachable = None
    watched.runs(2)
    assert watched.reasons == {}


def test_a_worker_that_no_longer_looks_at_itself_is_not_ready(watched: Watched) -> None:
    watched.log_ends = watched.durable = {0: 5, 1: 5}
    watched.runs(2)
    watched.now += 30
    assert watched.reasons == {}
    watched.now += 1
    assert watched.reasons == {"unwatched": "the worker last looked at itself 31 s ago"}


def test_a_stall_and_its_end_are_logged_once_each(watched: Watched) -> None:
    watched.log_ends, watched.durable = {0: 20, 1: 20}, {0: 11, 1: 20}
    with capture_logs() as logged:
        watched.runs(90)
        watched.durable = {0: 20, 1: 20}
        watched.runs(90)
    assert [(each["event"], each["partitions"]) for each in logged] == [
        ("stalled", [0]),
        ("goes on after a stall", [0]),
    ]
    assert {each["log_level"] for each in logged} == {"warning"}


def test_a_stalled_partition_that_is_given_away_has_not_recovered(watched: Watched) -> None:
    watched.log_ends, watched.durable = {0: 20, 1: 20}, {0: 11, 1: 20}
    with capture_logs() as logged:
        watched.runs(60)
        watched.assigned = {1}
        watched.runs(60)
    assert [each["event"] for each in logged] == ["stalled"]
    assert watched.reasons == {}


def test_a_broker_that_goes_and_comes_is_logged_once_each(watched: Watched) -> None:
    watched.log_ends = watched.durable = {0: 5, 1: 5}
    with capture_logs() as logged:
        for silent in (True, False):
            watched.unreachable = GONE if silent else None
            watched.runs(60)
    assert [each["event"] for each in logged] == ["Kafka does not answer", "Kafka answers again"]


def test_a_rare_flush_is_given_the_time_of_three() -> None:
    assert stall_window(timedelta(seconds=2)) == timedelta(seconds=30)
    assert stall_window(timedelta(seconds=60)) == timedelta(seconds=180)


def served(monitor: WorkerMonitor) -> dict[str, Any]:
    """Return the families that Prometheus' own parser finds."""
    text = monitor.metrics.render().decode()
    assert re.search(r"_created\b", text) is None
    return {each.name: each for each in text_string_to_metric_families(text)}


def busy(watched: Watched) -> WorkerMonitor:
    watched.log_ends, watched.durable = {0: 20, 1: 9}, {0: 11, 1: 9}
    watched.monitor.flushed(flush_of(None, None, "no_key", "no_key", "bad_time", duplicates=4), 0.3)
    watched.monitor.flushed(flush_of(None), 99.0)
    watched.monitor.held_up(0, FULL)
    watched.monitor.reads_again(1)
    watched.looks()
    return watched.monitor


def test_what_is_served_is_the_closed_list_also_before_anything_happened(watched: Watched) -> None:
    names = [each.name.removesuffix("_total") for each in METRICS]
    assert list(served(watched.monitor)) == names
    families = served(busy(watched))
    assert list(families) == names
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.type
        assert family.documentation == metric.meaning
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels == set(metric.labels)


def test_label_values_are_from_closed_lists(watched: Watched) -> None:
    families = served(busy(watched))

    def values(name: str, label: str) -> list[str]:
        return [each.labels[label] for each in families[name].samples]

    reasons = values("runfold_worker_dead_letters", "reason")
    assert reasons == [str(each) for each in DeadLetterReason]
    assert values("runfold_worker_retries", "code") == [each.code for each in RETRIED]
    assert {*RETRIED} == {
        each
        for each in vars(errors).values()
        if isinstance(each, type)
        and issubclass(each, errors.RunfoldError)
        and each.disposition == "retry"
        and each is not errors.CollectorBusy  # a client's
    }
    assert values("runfold_worker_lag_records", "partition") == ["0", "1"]


def test_metrics_say_what_happened(watched: Watched) -> None:
    samples = {
        (each.name, *each.labels.values()): each.value
        for family in served(busy(watched)).values()
        for each in family.samples
    }
    expected = {
        ("ready",): 1,
        ("lag_records", "0"): 9,
        ("lag_records", "1"): 0,
        ("log_end_offset", "0"): 20,
        ("durable_offset", "0"): 11,
        ("runs_held",): 7,
        ("runs_past",): 9,
        ("records_total",): 10,
        ("events_total",): 3,
        ("duplicates_total",): 4,
        ("dead_letters_total", "no_key"): 2,
        ("dead_letters_total", "bad_time"): 1,
        ("dead_letters_total", "not_avro"): 0,
        ("flush_seconds_bucket", "0.25"): 0,
        ("flush_seconds_bucket", "0.5"): 1,
        ("flush_seconds_bucket", "30.0"): 1,
        ("flush_seconds_bucket", "+Inf"): 2,
        ("flush_seconds_count",): 2,
        ("flush_seconds_sum",): 99.3,
        ("retries_total", "lake_unavailable"): 1,
        ("read_again_total",): 1,
        ("rebalances_total",): 3,
    }
    found = {(name, *at): samples[f"runfold_worker_{name}", *at] for name, *at in expected}
    assert found == expected
    assert samples["runfold_worker_last_flush_timestamp_seconds",] > 1.7e9


def test_the_page_lists_exactly_the_metrics() -> None:
    page = PAGE.read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", page, re.MULTILINE)
    assert rows == [
        (each.name, each.type, ", ".join(f"`{label}`" for label in each.labels)) for each in METRICS
    ]
    assert f"one of\n`{' '.join(DeadLetterReason)}`" in page
    assert f"one of `{' '.join(each.code for each in RETRIED)}`" in page


@pytest.fixture
def address(watched: Watched) -> Iterator[str]:
    threads = threading.active_count()
    with serving_worker("127.0.0.1:0", watched.monitor) as address:
        yield address
    assert threading.active_count() == threads


def get(address: str, path: str) -> tuple[int, str, str]:
    with closing(HTTPConnection(address, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_probes_are_answered_from_the_start_on(watched: Watched, address: str) -> None:
    assert get(address, "/healthz")[0] == 200
    status, _, body = get(address, "/readyz")
    assert (status, json.loads(body)["ready"]) == (503, False)
    busy(watched)
    status, _, body = get(address, "/readyz")
    assert (status, json.loads(body)) == (200, watched.monitor.readiness())
    status, content_type, body = get(address, "/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert body == watched.monitor.metrics.render().decode()
    assert get(address, "/other")[0] == 404


def test_status_repeats_why_a_worker_is_not_ready(watched: Watched, address: str) -> None:
    assert ask_readiness(address).reasons == ("starting: no partitions have been taken over yet",)
    busy(watched)
    assert ask_readiness(address).ready


def test_a_worker_that_does_not_answer_is_not_ready(watched: Watched) -> None:
    with serving_worker("127.0.0.1:0", watched.monitor) as address:
        pass
    assert ask_readiness(address).reasons[0].startswith(f"no answer from {address}: ")


@pytest.mark.parametrize("listen", ["9464", ":9464", "localhost:", "localhost:99999", "a:b"])
def test_an_address_that_is_none_is_refused(listen: str, watched: Watched) -> None:
    with pytest.raises(ConfigurationError, match=r"worker_listen: .* is not HOST:PORT"):
        with serving_worker(listen, watched.monitor):
            pass


def test_an_address_that_is_taken_is_refused(watched: Watched, address: str) -> None:
    with pytest.raises(ConfigurationError, match="worker_listen: cannot listen there"):
        with serving_worker(address, watched.monitor):
            pass
