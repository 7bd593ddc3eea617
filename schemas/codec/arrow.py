"""Arrow schemas of the lake, derived from the Avro files, and run states as Arrow tables."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate, pairwise
from operator import attrgetter
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
    """Return run states as a table of `lake_state_schema`.

    Shape: rows as given; metrics, stamps and seen ids sorted, so that equal states give equal rows.
    """
    rows = list(states)
    schema = lake_state_schema()
    columns: dict[str, Any] = {name: list(map(attrgetter(name), rows)) for name in _SCALARS}
    columns |= _split(
        [state.last_tool for state in rows],
        ("last_tool", "last_tool_open", "last_tool_at", "last_tool_offset"),
    )
    columns |= _split(
        [state.last_error for state in rows],
        ("last_error_type", "last_error_message", "last_error_at", "last_error_offset"),
    )
    columns["attributes"] = [
        orjson.dumps(state.attributes, option=orjson.OPT_SORT_KEYS).decode()
        if state.attributes
        else None
        for state in rows
    ]
    columns["metrics"] = _metrics_column(rows, schema.field("metrics").type)
    columns["stamps"] = _stamps_column(rows, schema.field("stamps").type)
    columns["seen"] = _seen_column(rows, schema.field("seen").type)
    columns["seen_hashes"] = [state.seen.packed_hashes() for state in rows]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for field, column in ((field, columns[field.name]) for field in schema)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def states_from_table(table: pa.Table) -> Iterator[RunState]:
    """Yield the run states of a table of `lake_state_schema`."""
    for batch in table.to_batches(max_chunksize=8192):
        with _collection_paused():
            states = list(_states_of(batch))
        yield from states


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Keep the garbage collector from walking, again and again, objects that all stay alive.

    It would take two thirds of the time of building states.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_SCALARS = tuple(
    name
    for name in RunState.__slots__
    if name not in {"last_tool", "last_error", "metrics", "attributes", "stamps", "seen"}
)


def _split(lasts: Sequence[LastTool | LastError | None], names: Sequence[str]) -> dict[str, Any]:
    """Return what `lasts` hold as four columns: two values and the two parts of the stamp."""
    return {
        names[0]: [last and last[0] for last in lasts],
        names[1]: [last and last[1] for last in lasts],
        names[2]: [last and last.stamp.occurred_at for last in lasts],
        names[3]: [last and last.stamp.offset for last in lasts],
    }


def _metrics_column(states: Sequence[RunState], arrow_type: pa.ListType) -> pa.Array:
    items = [
        (name, value, unit, at, offset)
        for state in states
        if state.metrics
        for name, (value, unit, (at, offset)) in sorted(state.metrics.items())
    ]
    return _list_column([len(state.metrics) for state in states], items, arrow_type)


def _stamps_column(states: Sequence[RunState], arrow_type: pa.ListType) -> pa.Array:
    items = [
        (name, at, offset)
        for state in states
        if state.stamps
        for name, (at, offset) in sorted(state.stamps.items())
    ]
    return _list_column([len(state.stamps) for state in states], items, arrow_type)


def _seen_column(states: Sequence[RunState], arrow_type: pa.ListType) -> pa.Array:
    items = [item for state in states for item in sorted(state.seen.ranges.items())]
    return _list_column([len(state.seen.ranges) for state in states], items, arrow_type)


def _list_column(
    lengths: Sequence[int], items: Sequence[tuple[Any, ...]], arrow_type: pa.ListType
) -> pa.Array:
    """Return a column of lists of records from the items of all its rows in one sequence."""
    fields = list(arrow_type.value_type)
    arrays = [pa.array([item[at] for item in items], field.type) for at, field in enumerate(fields)]
    ends = pa.array(accumulate(lengths, initial=0), pa.int32())
    return pa.ListArray.from_arrays(
        ends, pa.StructArray.from_arrays(arrays, fields=fields), type=arrow_type
    )


def _states_of(batch: pa.RecordBatch) -> Iterator[RunState]:
    build: Callable[..., RunState] = RunState  # the scalars are its first fields, in order
    tools = _join(batch, "last_tool", "last_tool_open", "last_tool_at", "last_tool_offset")
    errors = _join(
        batch, "last_error_type", "last_error_message", "last_error_at", "last_error_offset"
    )
    nested = (_lists(batch.column(name)) for name in ("metrics", "stamps", "seen"))
    attributes = _values(batch.column("attributes"))
    hashes = _values(batch.column("seen_hashes"))
    scalars = zip(*(_values(batch.column(name)) for name in _SCALARS), strict=True)
    rows = zip(scalars, tools, errors, attributes, hashes, *nested, strict=True)
    for values, tool, error, text, packed, metrics, stamps, seen in rows:
        yield build(
            *values,
            last_tool=None
            if tool[2] is None
            else LastTool(tool[0], tool[1], Stamp(tool[2], tool[3])),
            last_error=None
            if error[2] is None
            else LastError(error[0], error[1], Stamp(error[2], error[3])),
            metrics={
                name: MetricValue(value, unit, Stamp(at, offset))
                for name, value, unit, at, offset in metrics
            },
            attributes=orjson.loads(text) if text else {},
            stamps={name: Stamp(at, offset) for name, at, offset in stamps},
            seen=EventIdSet.unpack(seen, packed),
        )


def _join(batch: pa.RecordBatch, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(_values(batch.column(name)) for name in names), strict=True)


def _lists(column: pa.Array) -> list[list[tuple[Any, ...]]]:
    """Return a column of lists of records, each record as a tuple."""
    ends = column.offsets.to_pylist()
    start = ends[0]
    records = column.flatten()
    fields = [_values(records.field(at)) for at in range(records.type.num_fields)]
    items = list(zip(*fields, strict=True))
    return [items[first - start : last - start] for first, last in pairwise(ends)]


def _values(column: pa.Array) -> list[Any]:
    """Return a column as Python values, times as whole microseconds.

    By way of polars, which is several times quicker at it than pyarrow.
    """
    import polars as pl  # a command that only asks for a schema has no time for it

    if column.null_count == len(column):
        return [None] * len(column)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return pl.Series(column).to_list()


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
