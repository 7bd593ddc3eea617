"""Arrow schemas of the lake, derived from the Avro files, and run states as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import orjson
import pyarrow as pa

from runfold.schemas.codec.registry import latest
from runfold.schemas.event_ids import EventIdSet
from runfold.schemas.run_state import (
    LastError,
    LastTool,
    MetricValue,
    RunState,
    Stamp,
)

_TIME = pa.timestamp("us", tz="UTC")
_PRIMITIVES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "bytes": pa.binary(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
LOG_COLUMNS = ("partition", "offset", "recorded_at", "dead_letter_reason", "dead_letter_message")


@cache
def lake_event_schema() -> pa.Schema:
    """Return the columns of an events file: the event, its place in the log, or why it is none."""
    event = [_field(each, nullable=True) for each in latest("event").definition["fields"]]
    log = [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("recorded_at", _TIME, nullable=False),
        pa.field("dead_letter_reason", pa.string()),
        pa.field("dead_letter_message", pa.string()),
    ]
    return pa.schema(event + log)


@cache
def lake_state_schema() -> pa.Schema:
    """Return the columns of a states file."""
    return pa.schema([_field(each) for each in latest("run_state").definition["fields"]])


def states_to_table(states: Iterable[RunState]) -> pa.Table:
    """Return run states as a table of `lake_state_schema`."""
    return pa.Table.from_pylist([_state_row(each) for each in states], lake_state_schema())


def states_from_table(table: pa.Table) -> Iterator[RunState]:
    """Yield the run states of a table of `lake_state_schema`."""
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    for name in times:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].cast(pa.int64()))
    table = table.set_column(
        table.schema.get_field_index("metrics"), "metrics", _as_integers(table["metrics"])
    )
    table = table.set_column(
        table.schema.get_field_index("stamps"), "stamps", _as_integers(table["stamps"])
    )
    for batch in table.to_batches(max_chunksize=8192):
        for row in batch.to_pylist():
            yield _state_of(row)


_SCALARS = tuple(
    name
    for name in RunState.__slots__
    if name not in {"last_tool", "last_error", "metrics", "attributes", "stamps", "seen"}
)


def _state_row(state: RunState) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(state, name) for name in _SCALARS}
    if state.last_tool is not None:
        row["last_tool"], row["last_tool_open"], stamp = state.last_tool
        row["last_tool_at"], row["last_tool_offset"] = stamp
    if state.last_error is not None:
        row["last_error_type"], row["last_error_message"], stamp = state.last_error
        row["last_error_at"], row["last_error_offset"] = stamp
    row["metrics"] = [
        {"name": name, "value": value, "unit": unit, "occurred_at": at, "offset": offset}
        for name, (value, unit, (at, offset)) in sorted(state.metrics.items())
    ]
    row["stamps"] = [
        {"field": name, "occurred_at": at, "offset": offset}
        for name, (at, offset) in sorted(state.stamps.items())
    ]
    if state.attributes:
        row["attributes"] = orjson.dumps(state.attributes, option=orjson.OPT_SORT_KEYS).decode()
    row["seen"] = [
        {"producer": producer, "bounds": bounds}
        for producer, bounds in sorted(state.seen.ranges.items())
    ]
    row["seen_hashes"] = state.seen.packed_hashes()
    return row


def _state_of(row: dict[str, Any]) -> RunState:
    state = RunState(**{name: row[name] for name in _SCALARS})
    if row["last_tool_at"] is not None:
        stamp = Stamp(row["last_tool_at"], row["last_tool_offset"])
        state.last_tool = LastTool(row["last_tool"], row["last_tool_open"], stamp)
    if row["last_error_at"] is not None:
        stamp = Stamp(row["last_error_at"], row["last_error_offset"])
        state.last_error = LastError(row["last_error_type"], row["last_error_message"], stamp)
    state.metrics = {
        each["name"]: MetricValue(
            each["value"], each["unit"], Stamp(each["occurred_at"], each["offset"])
        )
        for each in row["metrics"]
    }
    state.stamps = {
        each["field"]: Stamp(each["occurred_at"], each["offset"]) for each in row["stamps"]
    }
    state.attributes = orjson.loads(row["attributes"]) if row["attributes"] else {}
    seen = ((each["producer"], each["bounds"]) for each in row["seen"])
    state.seen = EventIdSet.unpack(seen, row["seen_hashes"])
    return state


def _field(definition: dict[str, Any], *, nullable: bool = False) -> pa.Field:
    avro_type = definition["type"]
    union = isinstance(avro_type, list)
    arrow_type = _arrow_type(avro_type[-1] if union else avro_type)
    return pa.field(definition["name"], arrow_type, nullable=union or nullable)


def _arrow_type(avro_type: Any) -> pa.DataType:
    if isinstance(avro_type, str):
        return _PRIMITIVES[avro_type]
    if avro_type.get("logicalType") == "timestamp-micros":
        return _TIME
    if avro_type["type"] == "array":
        return pa.list_(_arrow_type(avro_type["items"]))
    if avro_type["type"] == "record":
        return pa.struct([_field(each) for each in avro_type["fields"]])
    return _PRIMITIVES[avro_type["type"]]


def _as_integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    fields = [
        pa.field(each.name, pa.int64() if pa.types.is_timestamp(each.type) else each.type)
        for each in column.type.value_type
    ]
    return column.cast(pa.list_(pa.struct(fields)))
