"""What a call of the client costs, with Kafka up, down and slow, beside what others cost.

Run it with `python -m tests.benchmarks.client_call [--calls N]`, which brings a Kafka of its own.
Slow: Kafka is stopped for nine tenths of the time. The published Automagik SDK is measured where
`--automagik-python` has it, a Python of 3.12 or newer.
"""

from __future__ import annotations

import argparse
import asyncio
import http.server
import json
import logging
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from rich.console import Console
from rich.table import Table

from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
from runfold.producers import Client
from runfold.producers.topic_setup import ensure_topics
from tests.benchmarks.latencies import Call, Latencies, Subject, measure
from tests.benchmarks.race import QUIX_PYTHON
from tests.benchmarks.shipping_speed import shipped_per_second

SIZES = (100, 1_000, 10_000, 100_000)
NOWHERE = "127.0.0.1:1"
AUTOMAGIK = Path(__file__).parent / "contenders" / "automagik_call.py"
_STOPPED_SECONDS, _GOING_SECONDS = 0.45, 0.05
_FEWER_FROM_BYTES = 10_000

Row = tuple[str, int, int, Latencies]


class _NoExport(SpanExporter):
    """Takes spans and lets them go: what is measured is the call, not a backend."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


def _client_rows(state: str, broker: str, folder: Path, calls: int) -> Iterator[Row]:
    """Measure the calls of a client whose broker is in `state`, with no other client beside."""
    client = Client(broker=broker, agent="bench", journal_dir=folder / f"journal-{state}")
    run_id = client.start_run()
    last = [run_id]

    def start() -> None:
        last[0] = client.start_run()

    subjects = []
    for threads in (1, 8):
        for size in SIZES:
            event = _event(client, run_id, size)
            subjects.append(Subject(f"event, Kafka {state}", size, threads, event))
        subjects += [
            Subject(f"start_run, Kafka {state}", 100, threads, start),
            Subject(f"end_run, Kafka {state}", 100, threads, lambda: client.end_run(last[0])),
        ]
    yield from _rows(subjects, calls)
    client.close()


def _event(client: Client, run_id: str, size: int) -> Call:
    payload = "x" * size
    return lambda: client.event(run_id, "tool.ended", payload=payload)


def other_subjects(folder: Path) -> Iterator[Subject]:
    """Yield what is measured beside: an OpenTelemetry span, a line of logging."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_NoExport()))
    tracer = provider.get_tracer("bench")
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(folder / "bench.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)

    def span(payload: str) -> Call:
        def record() -> None:
            with tracer.start_as_current_span("tool", attributes={"payload": payload}):
                pass

        return record

    def log(payload: str) -> Call:
        return lambda: logger.info("tool %s", payload)

    makers: dict[str, Callable[[str], Call]] = {
        "OpenTelemetry span, BatchSpanProcessor": span,
        "logging to a file": log,
    }
    for name, make in makers.items():
        for threads in (1, 8):
            for size in SIZES:
                yield Subject(name, size, threads, make("x" * size))


def _rows(subjects: list[Subject], calls: int) -> Iterator[Row]:
    for few in (False, True):
        chosen = [each for each in subjects if (each.payload_bytes > _FEWER_FROM_BYTES) is few]
        found = measure(chosen, calls // 20 if few else calls)
        for subject, latencies in zip(chosen, found, strict=True):
            yield subject.name, subject.payload_bytes, subject.threads, latencies


@contextmanager
def _slowed(kafka: KafkaServer) -> Iterator[None]:
    """Stop Kafka for nine tenths of the time, as long as the block lasts."""
    done = threading.Event()

    def toggle() -> None:
        while not done.is_set():
            kafka.pause()
            done.wait(_STOPPED_SECONDS)
            kafka.resume()
            done.wait(_GOING_SECONDS)

    thread = threading.Thread(target=toggle)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _automagik_rows(python: Path, calls: int) -> Iterator[Row]:
    """Yield the SDK's figures over a server that takes all, and over none."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        up = f"http://127.0.0.1:{server.server_port}"
        cases = [("up", up, size, threads, calls) for size in SIZES for threads in (1, 8)]
        # Each hundredth call waits for 7 s of retries, so there are few of them.
        for state, url, size, threads, count in [
            *cases,
            ("down", f"http://{NOWHERE}", 100, 1, 300),
        ]:
            command = [str(each) for each in (python, AUTOMAGIK, url, size, threads, count)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            name = f"Automagik SDK, endpoint {state}"
            yield name, size, threads, Latencies(*json.loads(done.stdout))
        server.shutdown()


def _show(console: Console, rows: Iterator[Row]) -> None:
    table = Table(title="a call", title_justify="left", box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    for name in ("bytes", "threads", "p50 µs", "p99 µs"):
        table.add_column(name, justify="right")
    for name, size, threads, found in rows:
        table.add_row(name, f"{size:,}", str(threads), f"{found.p50:,.1f}", f"{found.p99:,.1f}")
    console.print(table)


def _has_automagik(python: Path) -> bool:
    asked = [str(python), "-c", "import automagik_telemetry"]
    return (
        python.exists() and not subprocess.run(asked, capture_output=True, check=False).returncode
    )


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="of each subject")
    parser.add_argument("--shipped", type=int, default=300_000, help="events for the shipper")
    parser.add_argument("--automagik-python", type=Path, default=QUIX_PYTHON)
    options = parser.parse_args()
    console = Console(soft_wrap=False)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="runfold-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        kafka_options = KafkaOptions(client_port=0, controller_port=0)
        with KafkaServer(folder / "kafka", prepare_runtime(), options=kafka_options) as kafka:
            asyncio.run(ensure_topics(kafka.bootstrap))
            speed = shipped_per_second(folder / "shipped", kafka.bootstrap, options.shipped)
            rows = [
                *_client_rows("up", kafka.bootstrap, folder, options.calls),
                *_client_rows("down", NOWHERE, folder, options.calls),
            ]
            with _slowed(kafka):
                rows += _client_rows("slow", kafka.bootstrap, folder, options.calls)
        rows += _rows(list(other_subjects(folder)), options.calls)
        if _has_automagik(options.automagik_python):
            rows += _automagik_rows(options.automagik_python, options.calls)
        _show(console, iter(sorted(rows, key=lambda row: (row[2], row[1], row[0]))))
        console.print(f"shipper to Kafka: {speed:,.0f} events/s, of {options.shipped:,}")


if __name__ == "__main__":
    main()
