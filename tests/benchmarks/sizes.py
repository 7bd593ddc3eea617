"""What a million events take up: as NDJSON, in Kafka, in the lake, in PostgreSQL.

Run it with `python -m tests.benchmarks.sizes [--events N]`. The events are those of demo fleets of
different seeds, all at one hour; Kafka and PostgreSQL are the embedded ones.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import psycopg
from rich.console import Console
from rich.table import Table

from runfold.deploy.embedded import KafkaOptions, KafkaServer, prepare_runtime
from runfold.deploy.embedded.postgres import PostgresServer
from runfold.producers.demo import DemoRecord, generate_fleet
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.sinks.lake import LocalLake
from runfold.sinks.postgres import open_exporter
from tests.benchmarks import report
from tests.integration.stack_parts import make_topics, publish
from tests.lakes_of_events import LOG, LakeOfEvents

_FLUSH_EVENTS = 50_000
_TOPIC = "runfold.sizes"
_NOW = datetime.now(UTC)


def events(wanted: int) -> Iterator[dict[str, Any]]:
    """Yield so many events of demo fleets, duplicates and damaged records left out."""
    seen = 0
    for seed in count(1):
        ids: set[str] = set()
        for record in generate_fleet(seed, _NOW):
            event = record.event
            if event is None or event["event_id"] in ids:
                continue
            ids.add(event["event_id"])
            yield event
            seen += 1
            if seen == wanted:
                return


def bytes_of(folder: Path) -> int:
    """Return how many bytes the files below a folder have."""
    return sum(
        (Path(where) / name).stat().st_size for where, _, names in os.walk(folder) for name in names
    )


def in_kafka(folder: Path, wanted: int) -> int:
    """Publish the events; return the bytes of the topic's log."""
    options = KafkaOptions(client_port=0, controller_port=0)
    with KafkaServer(folder / "kafka", prepare_runtime(), options=options) as server:
        asyncio.run(make_topics(server.bootstrap, _TOPIC))
        records = (DemoRecord(0, event=each) for each in events(wanted))
        asyncio.run(publish(server.bootstrap, _TOPIC, records))
    logs = (folder / "kafka").glob(f"**/{_TOPIC}-*/*.log")
    return sum(each.stat().st_size for each in logs)


def in_lake(folder: Path, wanted: int) -> tuple[int, int]:
    """Fold the events into a lake; return its bytes as flushed, and as merged later."""
    lake, encode = LakeOfEvents(folder), SparseEncoder(latest("event"))
    waiting: list[tuple[bytes, bytes]] = []
    now_us = int(_NOW.timestamp() * 1e6)
    for event in events(wanted):
        waiting.append((event["run_id"].encode(), encode(event)))
        if len(waiting) == _FLUSH_EVENTS:
            lake.put_records(waiting, recorded_at_us=now_us)
            waiting = []
    if waiting:
        lake.put_records(waiting, recorded_at_us=now_us)
    flushed = bytes_of(folder)
    LocalLake(folder).compact(LOG)
    return flushed, bytes_of(folder) - flushed  # what was merged stays for 15 minutes


def in_postgres(folder: Path, lake: Path) -> int:
    """Export the lake; return the bytes of the database."""
    with PostgresServer(folder, port=0) as server:
        with open_exporter(lake, server.url) as exporter:
            exporter.catch_up()
        with psycopg.connect(server.url) as connection:
            row = connection.execute("select pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sizes", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    command = " ".join(["python -m tests.benchmarks.sizes", *sys.argv[1:]])
    machine = report.Machine(command, report.commit_of(Path(__file__).parents[2]))
    wanted = arguments.events
    with tempfile.TemporaryDirectory(prefix="runfold-bench-") as name:
        folder = Path(name)
        found = {"NDJSON": sum(len(orjson.dumps(each)) + 1 for each in events(wanted))}
        found["Avro in Kafka"] = in_kafka(folder, wanted)
        flushed, merged = in_lake(folder / "lake", wanted)
        found["Parquet in the lake, states included"] = flushed
        found["the same, merged"] = merged
        found["PostgreSQL"] = in_postgres(folder / "postgres", folder / "lake")
    console = Console()
    table = Table(title=f"{wanted:,} events", title_justify="left")
    for column in ("as", "MB", "bytes an event", "of NDJSON"):
        table.add_column(column, justify="left" if column == "as" else "right")
    for kind, size in found.items():
        share = f"{size / found['NDJSON']:.1%}"
        table.add_row(kind, f"{size / 1e6:,.1f}", f"{size / wanted:,.1f}", share)
    console.print(table)
    report.show_machine(console, machine, {})


if __name__ == "__main__":
    main()
