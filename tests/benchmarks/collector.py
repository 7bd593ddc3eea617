"""Requests and events a second of the collector, with Kafka on the same machine.

Run it with `python -m tests.benchmarks.collector [--seconds N] [--otelcol PROGRAM]`, which brings a
Kafka of its own. Beside it: an endpoint that only parses, and, where a program is given, the
OpenTelemetry Collector with the receiver `otlp` and the exporter `kafka`, without a queue, so that
it answers after Kafka's acknowledgement too. The last rows are of a run that one client posts and
asks for right after; their CPU is that of both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.table import Table

from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
from tests.benchmarks import report
from tests.benchmarks.http_load import Answers, load, request_bytes
from tests.integration.stack_parts import make_topics

SPANS = 512
RUNS = 100
_MARK = b"\xa5" * 16
_READY_WITHIN_SECONDS = 60.0
_OTELCOL_TOPIC = "otlp_spans"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request. Units: `items` events of each."""

    name: str
    items: int
    connections: int
    request_of: Callable[[int], bytes]


def a_run(number: str) -> dict[str, object]:
    """Return a run as the Local Telemetry client posts it."""
    return {
        "event_id": f"{uuid.uuid4()}",
        "run_id": f"20261121T120000Z-bench-{number}",
        "agent_name": "bench",
        "job_type": "measure",
        "start_time": "2026-11-21T12:00:00.000000+00:00",
        "status": "running",
        "trigger_type": "cli",
        "host": "bench",
        "metrics_json": {"items": 5, "seconds": 1.5},
    }


def single_run(number: int) -> bytes:
    """Return a request with one run."""
    body = orjson.dumps(a_run(f"{number}-{uuid.uuid4().hex[:8]}"))
    return request_bytes("/api/v1/runs", body, "application/json")


def batch_of_runs(number: int) -> bytes:
    """Return a request with a hundred runs."""
    runs = [a_run(f"{number}-{at}-{uuid.uuid4().hex[:8]}") for at in range(RUNS)]
    return request_bytes("/api/v1/runs/batch", orjson.dumps(runs), "application/json")


def batch_of_spans() -> Callable[[int], bytes]:
    """Return what makes requests with 512 spans of model calls, of another trace each."""
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add()
    _set(spans.resource, {"service.name": "bench", "service.version": "1", "host.name": "bench"})
    scope = spans.scope_spans.add()
    scope.scope.name = "bench"
    begun = time.time_ns()
    for number in range(SPANS):
        span = scope.spans.add()
        span.trace_id = _MARK
        span.span_id = (number + 1).to_bytes(8, "big")
        span.parent_span_id = (1).to_bytes(8, "big") if number else b""
        span.name = "chat claude" if number else "invoke_agent bench"
        span.start_time_unix_nano = begun
        span.end_time_unix_nano = begun + 250_000_000
        _set(
            span,
            {
                "gen_ai.operation.name": "chat" if number else "invoke_agent",
                "gen_ai.provider.name": "anthropic",
                "gen_ai.request.model": "claude",
                "gen_ai.usage.input_tokens": 1200,
                "gen_ai.usage.output_tokens": 300,
                "server.address": "localhost",
            },
        )
    body = message.SerializeToString()

    def request_of(number: int) -> bytes:
        del number
        return request_bytes(
            "/v1/traces", body.replace(_MARK, uuid.uuid4().bytes), "application/x-protobuf"
        )

    return request_of


def _set(target: object, attributes: dict[str, str | int]) -> None:
    for name, value in attributes.items():
        one = target.attributes.add()  # type: ignore[attr-defined]
        one.key = name
        if isinstance(value, int):
            one.value.int_value = value
        else:
            one.value.string_value = value


def kinds() -> list[Kind]:
    """Return the kinds of requests."""
    return [
        Kind("one run", 1, 16, single_run),
        Kind("100 runs", RUNS, 4, batch_of_runs),
        Kind("512 spans", SPANS, 4, batch_of_spans()),
    ]


@contextmanager
def serving(command: list[str], port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the time of a `with` block."""
    with (folder / f"server-{port}.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        give_up_at = time.monotonic() + _READY_WITHIN_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > give_up_at or process.poll() is not None:
                    said = (folder / f"server-{port}.log").read_text("utf-8", "replace")
                    raise SystemExit(f"{command[0]} does not listen: {said[-2000:]}") from None
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    """Return a port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def collector_command(port: int, bootstrap: str, folder: Path) -> list[str]:
    """Return how runfold's collector is started."""
    return [
        sys.executable, "-m", "runfold.deploy", "collector", "--broker", bootstrap,
        "--listen", f"127.0.0.1:{port}", "--grpc-listen", "127.0.0.1:0",
        "--health-listen", "127.0.0.1:0", "--data-dir", str(folder),
    ]  # fmt: skip


def otelcol_command(program: Path, port: int, bootstrap: str, folder: Path) -> list[str]:
    """Return how the OpenTelemetry Collector is started, to answer as late as runfold's does."""
    config = folder / "otelcol.json"
    exporter = {
        "brokers": [bootstrap],
        "sending_queue": {"enabled": False},
        "traces": {"topic": _OTELCOL_TOPIC},
        "producer": {"required_acks": -1, "max_message_bytes": 16_000_000},
    }
    receiver = {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}
    pipeline = {"receivers": ["otlp"], "exporters": ["kafka"]}
    telemetry = {"metrics": {"level": "none"}}
    content = {
        "receivers": {"otlp": receiver},
        "exporters": {"kafka": exporter},
        "service": {"pipelines": {"traces": pipeline}, "telemetry": telemetry},
    }
    config.write_bytes(orjson.dumps(content))
    return [str(program), "--config", str(config)]


async def post_then_get(port: int, seconds: float) -> dict[str, Answers]:
    """Post a run and ask for it right after, one after another; return what each took, and both."""
    import httpx

    post, get, both = Answers(), Answers(), Answers()
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        number = 0
        while time.monotonic() < began + seconds:
            run = a_run(f"then-get-{number}-{uuid.uuid4().hex[:8]}")
            before = time.perf_counter_ns()
            posted = await client.post("/api/v1/runs", json=run)
            between = time.perf_counter_ns()
            asked = await client.get(f"/api/v1/runs/{run['event_id']}")
            after = time.perf_counter_ns()
            if posted.status_code != 201 or asked.status_code != 200:
                raise SystemExit(f"{posted.status_code} {posted.text}, then {asked.status_code}")
            post.taken.append(between - before)
            get.taken.append(after - between)
            both.taken.append(after - before)
            number += 1
    for each in (post, get, both):
        each.statuses[200] = number
        each.seconds = time.monotonic() - began
    return {"POST": post, "GET right after": get, "POST + GET": both}


def tree_of(pid: int) -> Iterator[Path]:
    """Yield the folder in /proc of a process and of those below it."""
    rest = [pid]
    while rest:
        folder = Path(f"/proc/{rest.pop()}")
        yield folder
        for children in folder.glob("task/*/children"):
            rest += map(int, children.read_text().split())


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return what a process and those below it have computed so far."""
    ticks = 0
    for folder in tree_of(process.pid):
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(arguments: argparse.Namespace, bootstrap: str, folder: Path, table: Table) -> None:
    """Measure every contender with every kind that it takes."""
    port = free_port()
    servers: dict[str, list[str]] = {
        "runfold collector": collector_command(port, bootstrap, folder),
        "only parses": [
            sys.executable, "-m", "tests.benchmarks.contenders.parsing_server", str(port)
        ],
    }  # fmt: skip
    if arguments.otelcol:
        servers["OpenTelemetry Collector"] = otelcol_command(
            arguments.otelcol, port, bootstrap, folder
        )
    for kind in kinds():
        for name, command in servers.items():
            if name == "OpenTelemetry Collector" and kind.name != "512 spans":
                continue
            with serving(command, port, folder) as process:
                asyncio.run(load(port, kind.request_of, connections=kind.connections, seconds=2))
                before = cpu_seconds(process)
                answers = asyncio.run(
                    load(
                        port,
                        kind.request_of,
                        connections=kind.connections,
                        seconds=arguments.seconds,
                    )
                )
                spent = cpu_seconds(process) - before
            _row(table, kind.name, name, answers, kind.items, spent)
    with serving(servers["runfold collector"], port, folder) as process:
        asyncio.run(post_then_get(port, 2))
        before = cpu_seconds(process)
        found = asyncio.run(post_then_get(port, arguments.seconds))
        spent = cpu_seconds(process) - before
        for part, answers in found.items():
            _row(table, part, "runfold collector", answers, 1, spent)


def _row(
    table: Table, kind: str, name: str, answers: Answers, items: int, cpu_seconds: float
) -> None:
    wrong = {status: count for status, count in answers.statuses.items() if status // 100 != 2}
    if not answers.taken:
        raise SystemExit(f"{name}: {kind}: nothing was taken: {answers.statuses}")
    table.add_row(
        kind,
        name,
        f"{answers.rate():,.0f}",
        f"{answers.rate() * items:,.0f}",
        *(f"{answers.milliseconds(percent):.1f}" for percent in (50, 95, 99)),
        f"{cpu_seconds * 1e6 / len(answers.taken) / items:.1f}",
        str(wrong or ""),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.collector", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=60, help="for each measurement")
    parser.add_argument("--otelcol", type=Path, help="program of an OpenTelemetry Collector")
    arguments = parser.parse_args()
    command = " ".join(["python -m tests.benchmarks.collector", *sys.argv[1:]])
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    console = Console(width=None if sys.stdout.isatty() else 140)  # no figure is cut in a file
    table = Table(title="the collector, Kafka on the same machine", show_lines=False)
    for column in (
        "request", "server", "requests/s", "events/s", "p50 ms", "p95 ms", "p99 ms", "CPU µs/event",
        "not 2xx",
    ):  # fmt: skip
        table.add_column(column, justify="right" if "s" in column[-3:] else "left")
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as name:
        folder = Path(name)
        options = KafkaOptions(client_port=0, controller_port=0)
        with KafkaServer(folder / "kafka", prepare_runtime(), options=options) as server:
            if arguments.otelcol:
                asyncio.run(make_topics(server.bootstrap, _OTELCOL_TOPIC, partitions=12))
            measure(arguments, server.bootstrap, folder, table)
    console.print(table)
    report.show_machine(console, machine, {})


if __name__ == "__main__":
    main()
