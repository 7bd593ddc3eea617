"""A second opinion: what a log says of its runs, by the plain avro package and nothing of ours.

It shares no code with `runfold.processors` and `runfold.schemas.codec`: it reads the schema file,
walks the topic record by record, and counts in dictionaries.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
from aiokafka import AIOKafkaConsumer

SCHEMA_FILE = Path(__file__).parents[1] / "schemas" / "avro" / "event.v1.avsc"
_HEADER = bytes.fromhex("c30170f63829c84d9646")
_YEAR_2000_US, _YEAR_2200_US = 946_684_800_000_000, 7_258_118_400_000_000


@dataclass
class Log:
    """What one reading of a whole topic found.

    Shape: `bad` are the partitions and offsets of records that are no event.
    """

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: int = 0
    events: int = 0
    duplicates: int = 0
    bad: list[tuple[int, int]] = field(default_factory=list)


def plain_schema() -> Any:
    definition = json.loads(SCHEMA_FILE.read_text("utf-8"))
    for each in definition["fields"]:
        if isinstance(each["type"], dict):
            each["type"] = each["type"]["type"]  # times as plain numbers
    return avro.schema.parse(json.dumps(definition))


async def read_log(bootstrap: str, topic: str) -> Log:
    """Read `topic` from its first to its last record and count."""
    log = Log()
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                count(log, records)
    return log


def count(log: Log, records: Iterable[Any]) -> None:
    """Add records of one partition, in order, to `log`."""
    reader = avro.io.DatumReader(plain_schema())
    for record in records:
        log.records += 1
        event = _decode(reader, record.key, record.value)
        if event is None:
            log.bad.append((record.partition, record.offset))
            continue
        run = log.runs.setdefault(event["run_id"], {"ids": set(), "ended": (-1, -1)})
        if event["event_id"] in run["ids"]:
            log.duplicates += 1
            continue
        run["ids"].add(event["event_id"])
        log.events += 1
        _add(run, event, record.offset)


def _decode(reader: Any, key: bytes | None, value: bytes | None) -> dict[str, Any] | None:
    if key is None or value is None or value[:10] != _HEADER:
        return None
    stream = io.BytesIO(value[10:])
    try:
        event: dict[str, Any] = reader.read(avro.io.BinaryDecoder(stream))
    except Exception:  # noqa: BLE001 - the avro package raises whatever the bytes lead it into
        return None
    whole = stream.tell() == len(value) - 10 and event["run_id"].encode() == key
    said = event["event_id"] and event["run_id"] and event["event_type"]
    in_time = _YEAR_2000_US <= event["occurred_at"] <= _YEAR_2200_US
    return event if whole and said and in_time else None


def _add(run: dict[str, Any], event: dict[str, Any], offset: int) -> None:
    kind = event["event_type"]
    run["events"] = run.get("events", 0) + 1
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
        run[name] = run.get(name, 0) + (event[name] or 0)
    nano = round((event["cost_usd"] or 0.0) * 1e9)
    run["cost_nano_usd"] = run.get("cost_nano_usd", 0) + nano
    for name, counted in (
        ("tools_started", "tool.started"),
        ("tools_ended", "tool.ended"),
        ("llm_calls", "llm.called"),
        ("errors", "error.raised"),
    ):
        run[name] = run.get(name, 0) + (kind == counted)
    if kind == "run.started" and "agent_name" not in run:
        run["agent_name"] = event["agent_name"]
        run["parent_run_id"] = event["parent_run_id"]
    if kind in ("run.ended", "run.updated") and event["status"]:
        place = (event["occurred_at"], offset)
        if place >= run["ended"]:
            run["ended"], run["status"] = place, event["status"]


COMPARED = (
    "status",
    "agent_name",
    "parent_run_id",
    "events",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_nano_usd",
    "tools_started",
    "tools_ended",
    "llm_calls",
    "errors",
)


def expected_rows(log: Log) -> dict[str, dict[str, Any]]:
    """Return for each run what the lake's states must say of it."""
    return {
        run_id: {"status": "running", "agent_name": None, "parent_run_id": None}
        | {name: run[name] for name in COMPARED if name in run}
        for run_id, run in log.runs.items()
    }
