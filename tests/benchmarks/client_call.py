"""What a call of the client costs, beside an OpenTelemetry span and a line of stdlib logging.

Run it with `python -m tests.benchmarks.client_call [--broker HOST:PORT]`. Each subject gets its
calls in rounds that take turns, so that a busy moment of the machine hits all of them alike.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from runfold.producers import Client

CALLS = 20_000
ROUNDS = 40
PAYLOAD = "x" * 100
NOWHERE = "127.0.0.1:1"

Call = Callable[[], object]


class _NoExport(SpanExporter):
    """Takes spans and lets them go: what is measured is the call, not a backend."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


def _client_calls(name: str, broker: str, folder: Path) -> dict[str, Call]:
    client = Client(broker=broker, agent="bench", journal_dir=folder / "journal")
    run_id = client.start_run()
    started: list[str] = [run_id]

    def start() -> None:
        started[0] = client.start_run()

    return {
        f"{name}: start_run": start,
        f"{name}: event": lambda: client.event(run_id, "tool.ended", decision_reason=PAYLOAD),
        f"{name}: end_run": lambda: client.end_run(started[0]),
    }


def _span_call() -> Call:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_NoExport()))
    tracer = provider.get_tracer("bench")

    def span() -> None:
        with tracer.start_as_current_span("tool", attributes={"reason": PAYLOAD}):
            pass

    return span


def _logging_call(folder: Path) -> Call:
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(folder / "bench.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    return lambda: logger.info("tool %s", PAYLOAD)


def measure(subjects: dict[str, Call]) -> Iterator[tuple[str, list[int]]]:
    """Yield for each subject the nanoseconds that its calls took, ascending."""
    taken: dict[str, list[int]] = {name: [] for name in subjects}
    clock = time.perf_counter_ns
    for _ in range(ROUNDS):
        for name, call in subjects.items():
            keep = taken[name].append
            for _ in range(CALLS // ROUNDS):
                before = clock()
                call()
                keep(clock() - before)
    for name, nanoseconds in taken.items():
        yield name, sorted(nanoseconds)


def main() -> None:
    """Measure and print a table. Units: microseconds for one call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", help="a Kafka to ship to; without one only its absence counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as name:
        folder = Path(name)
        subjects = _client_calls("runfold, broker down", NOWHERE, folder / "down")
        if arguments.broker:
            subjects |= _client_calls("runfold, broker up", arguments.broker, folder / "up")
        subjects["OpenTelemetry span, BatchSpanProcessor"] = _span_call()
        subjects["logging to a file"] = _logging_call(folder)
        out = sys.stdout.write
        out(f"{CALLS:,} calls each of 100 bytes, µs{'p50':>22}{'p99':>10}\n")
        for subject, taken in measure(subjects):
            p50, p99 = (taken[len(taken) * part // 100] / 1000 for part in (50, 99))
            out(f"{subject:<42}{p50:>10.1f}{p99:>10.1f}\n")


if __name__ == "__main__":
    main()
