"""A whole batch of event records, decoded into columns.

The records are joined into one Avro container block, which polars decodes at about a microsecond
an event; their headers are its first column. That the pieces fit is checked: each header must be
the same and each run id must equal its record's key. Where a batch does not fit, its records are
sorted out by their headers, the damaged ones are found one by one, and the rest is kept.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import fastavro
import polars as pl

from runfold.schemas.codec.decoder import decode_body
from runfold.schemas.codec.encoder import SparseEncoder, encode_long
from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.codec.registry import SchemaVersion, latest
from runfold.schemas.errors import EventRejected
from runfold.schemas.event import EARLIEST_US, LATEST_US
from runfold.schemas.record_batch import RecordBatch
from runfold.schemas.topic import EVENTS
from runfold.schemas.vocabulary import DeadLetterReason

_SYNC = b"runfold-avro-blk"
_SUSPECT_ROWS = 128
_UNDECODABLE = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # a length that points behind the block; polars says it on stderr
    OSError,
    ValueError,
    OverflowError,
)
ROW = "row"
_HEADER = "_header"


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record of a batch, by its place in it, that cannot become an event."""

    row: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """What a batch of records holds.

    Shape: `frame` has the columns of the newest event schema and `row`, the place in the batch,
    ascending; `rejected` has the other rows, ascending.
    """

    frame: pl.DataFrame
    rejected: list[Rejected]


def decode_event_batch(batch: RecordBatch, framing: Framing = EVENT_FRAMING) -> DecodedBatch:
    """Decode `batch`; a bad record is rejected with its reason and its neighbours are kept.

    Raises: nothing for any bytes.
    """
    rejected: list[Rejected] = []
    frame = _decode_as_one(batch, framing)
    if frame is None:
        frame = _decode_by_headers(batch, framing, rejected)
    frame = _reject_invalid(frame, rejected)
    rejected.sort(key=lambda each: each.row)
    return DecodedBatch(frame, rejected)


def _decode_as_one(batch: RecordBatch, framing: Framing) -> pl.DataFrame | None:
    """Return the batch as columns where all of it is events of one schema, None elsewhere."""
    values = batch.values
    if None in values or None in batch.keys or max(map(len, values)) > EVENTS.max_event_bytes:  # type: ignore[arg-type]
        return None
    first: bytes = values[0]  # type: ignore[assignment]
    header = first[: framing.header_bytes(first)]
    try:
        writer = framing.writer_of(header)
    except EventRejected:
        return None
    frame = _decode_records(values, batch.keys, writer, header)  # type: ignore[arg-type]
    if frame is None:
        return None
    frame = frame.with_columns(pl.int_range(len(values), dtype=pl.UInt32).alias(ROW))
    return _in_newest_schema([frame], framing.name)


def _decode_by_headers(
    batch: RecordBatch, framing: Framing, rejected: list[Rejected]
) -> pl.DataFrame:
    frames: list[pl.DataFrame] = []
    for header, rows in _rows_by_header(batch, framing, rejected).items():
        try:
            writer = framing.writer_of(header)
        except EventRejected as error:
            rejected += [Rejected(row, error.reason, error.message) for row in rows]
            continue
        frames.append(_decode_rows(batch, rows, header, writer, rejected))
    return _in_newest_schema(frames, framing.name)


def _rows_by_header(
    batch: RecordBatch, framing: Framing, rejected: list[Rejected]
) -> dict[bytes, list[int]]:
    rows_by_header: dict[bytes, list[int]] = {}
    limit = EVENTS.max_event_bytes
    usual = b""
    usual_rows: list[int] = []
    for row, (key, value) in enumerate(zip(batch.keys, batch.values, strict=True)):
        if key is None:
            rejected.append(Rejected(row, DeadLetterReason.NO_KEY, "the record has no key"))
        elif value is None:
            rejected.append(Rejected(row, DeadLetterReason.NO_VALUE, "the record has no value"))
        elif len(value) > limit:
            message = f"{len(value)} bytes, more than the {limit} that an event may have"
            rejected.append(Rejected(row, DeadLetterReason.TOO_LARGE, message))
        elif usual and value.startswith(usual):
            usual_rows.append(row)
        else:
            header = value[: framing.header_bytes(value)]
            rows = rows_by_header.setdefault(header, [])
            rows.append(row)
            if len(header) == framing.header_bytes(value):  # a shorter one begins others, too
                usual, usual_rows = header, rows
    return rows_by_header


def _decode_rows(
    batch: RecordBatch,
    rows: list[int],
    header: bytes,
    writer: SchemaVersion,
    rejected: list[Rejected],
) -> pl.DataFrame:
    """Return the rows of `batch` that begin with `header`; those that are damaged are rejected."""
    values: list[bytes] = [batch.values[row] for row in rows]  # type: ignore[misc]
    keys: list[bytes] = [batch.keys[row] for row in rows]  # type: ignore[misc]
    kept: list[int] = []
    for start in range(0, len(rows), _SUSPECT_ROWS):
        stop = min(start + _SUSPECT_ROWS, len(rows))
        if _decode_records(values[start:stop], keys[start:stop], writer, header) is not None:
            kept.extend(range(start, stop))
            continue
        for at in range(start, stop):
            try:
                _check_alone(values[at][len(header) :], keys[at], writer)
            except EventRejected as error:
                rejected.append(Rejected(rows[at], error.reason, error.message))
            else:
                kept.append(at)
    frame = _decode_records([values[at] for at in kept], [keys[at] for at in kept], writer, header)
    if frame is None:  # every one of them decodes alone
        raise AssertionError("records that decode one by one do not decode together")
    return frame.with_columns(pl.Series(ROW, [rows[at] for at in kept], dtype=pl.UInt32))


def _decode_records(
    records: Sequence[bytes], keys: Sequence[bytes], writer: SchemaVersion, header: bytes
) -> pl.DataFrame | None:
    """Return records that all begin with `header` as columns, None where they do not fit together.

    That each header is where it should be shows that the record before it ended where it should. A
    sentinel stands behind the last: polars reads past the end of a block as if null went on there.
    """
    sentinel, sentinel_key = _sentinel(writer)
    block = b"".join((*records, header, sentinel))
    count = len(records) + 1
    container = _container_header(writer, len(header))
    parts = (container, encode_long(count), encode_long(len(block)), block)
    try:
        frame = pl.read_avro(io.BytesIO(b"".join((*parts, _SYNC))))
    except _UNDECODABLE:
        return None
    expected = pl.Series([*keys, sentinel_key], dtype=pl.Binary)
    if frame.height != count or not (frame["run_id"].cast(pl.Binary) == expected).all():
        return None
    if not frame.select((pl.col(_HEADER) == pl.lit(header)).all()).item():
        return None
    return frame.drop(_HEADER).head(len(records))


@cache
def _sentinel(writer: SchemaVersion) -> tuple[bytes, bytes]:
    """Return the body of a record that no producer writes, and its run id."""
    run_id = "the end of the block"
    record = {"event_id": "none", "run_id": run_id, "event_type": "", "occurred_at": 0}
    return SparseEncoder(writer, header=b"")(record), run_id.encode()


def _check_alone(body: bytes, key: bytes, writer: SchemaVersion) -> None:
    run_id = decode_body(body, writer, writer)["run_id"]
    if not isinstance(run_id, str) or run_id.encode() != key:
        message = f"the key is {key[:64]!r}, the event's run_id {str(run_id)[:64]!r}"
        raise EventRejected(DeadLetterReason.KEY_MISMATCH, message)


@cache
def _container_header(writer: SchemaVersion, header_bytes: int) -> bytes:
    """Return what goes before a block of records, each with a header of so many bytes."""
    fixed = {"type": "fixed", "name": _HEADER, "size": header_bytes}
    fields = [{"name": _HEADER, "type": fixed}, *writer.definition["fields"]]
    definition = {**writer.definition, "fields": fields}
    stream = io.BytesIO()
    fastavro.writer(stream, definition, [], sync_marker=_SYNC)
    return stream.getvalue()


def _in_newest_schema(frames: list[pl.DataFrame], name: str) -> pl.DataFrame:
    wanted = empty_event_frame(name)
    if not frames:
        return wanted
    together = pl.concat([wanted, *frames], how="diagonal").select(wanted.columns)
    return together.sort(ROW) if len(frames) > 1 else together


@cache
def empty_event_frame(name: str = "event") -> pl.DataFrame:
    """Return a frame of no rows with the columns that decoding gives."""
    header = _container_header(latest(name), 1)
    frame = pl.read_avro(io.BytesIO(header + encode_long(0) + encode_long(0) + _SYNC))
    return frame.drop(_HEADER).with_columns(pl.Series(ROW, [], dtype=pl.UInt32))


def _reject_invalid(frame: pl.DataFrame, rejected: list[Rejected]) -> pl.DataFrame:
    time = pl.col("occurred_at").dt.timestamp("us")
    reason = (
        pl.when((pl.col("event_id") == "") | (pl.col("run_id") == ""))
        .then(pl.lit(DeadLetterReason.MISSING_ID.value))
        .when(pl.col("event_type") == "")
        .then(pl.lit(DeadLetterReason.MISSING_TYPE.value))
        .when(~time.is_between(EARLIEST_US, LATEST_US))
        .then(pl.lit(DeadLetterReason.BAD_TIME.value))
    )
    reasons = frame.select(pl.col(ROW), reason.alias("reason"), time.alias("time"))
    invalid = reasons.filter(pl.col("reason").is_not_null())
    if invalid.is_empty():
        return frame
    for row, why, microseconds in invalid.iter_rows():
        rejected.append(Rejected(row, why, _EXPLAINED[why].format(microseconds)))
    return frame.filter(reasons["reason"].is_null())


_EXPLAINED = {
    DeadLetterReason.MISSING_ID.value: "event_id and run_id must not be empty",
    DeadLetterReason.MISSING_TYPE.value: "event_type must not be empty",
    DeadLetterReason.BAD_TIME.value: (
        "occurred_at is {} microseconds since 1970, outside the years 2000 to 2199"
    ),
}
