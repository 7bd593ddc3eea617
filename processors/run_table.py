"""The table of one partition: the state of every run, as of `next_offset`.

It is ours and not Faust's: a dictionary, loaded from the lake and flushed to it. What it holds is
a function of the log up to `next_offset`, whoever folded it and however often.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from runfold.processors.dedupe import drop_duplicates
from runfold.processors.fold_columns import fold_frame
from runfold.schemas.codec.columns import ROW, DecodedBatch, Rejected, decode_event_batch
from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.event import EVENT_FIELDS
from runfold.schemas.event_ids import find_minted_id
from runfold.schemas.lake import Flush, FlushCounts
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.record_batch import RecordBatch
from runfold.schemas.run_state import RunState

_US_PER_MS = 1000
_TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that could not become an event.

    Units: `recorded_at` microseconds since 1970 UTC.
    """

    log: LogPartition
    offset: int
    recorded_at: int
    reason: str
    message: str
    key: bytes | None
    value: bytes | None


class RunTable:
    """Folds one partition. Not thread-safe: the owner of the partition holds a lock."""

    def __init__(
        self,
        log: LogPartition,
        next_offset: int,
        states: Iterable[RunState] = (),
        framing: Framing = EVENT_FRAMING,
    ) -> None:
        self.log = log
        self.next_offset = next_offset
        """The offset to read next: the table is the state of all offsets before it."""
        self.durable_offset = next_offset
        """The offset up to which all is in the lake, exclusive."""
        self.dead_letters: list[DeadLetter] = []
        """Those that wait for being sent, which must come before the next flush."""
        self._states = {state.run_id: state for state in states}
        self._framing = framing
        self._frames: list[pl.DataFrame] = []
        self._changed: set[str] = set()
        self._counts = FlushCounts()
        self._recorded_at = 0

    def __len__(self) -> int:
        return len(self._states)

    @property
    def pending_records(self) -> int:
        """How many records have been folded and are not in the lake yet."""
        return self._counts.records

    def state(self, run_id: str) -> RunState | None:
        """Return the state of a run."""
        return self._states.get(run_id)

    def take(self, batch: RecordBatch, decoded: DecodedBatch | None = None) -> None:
        """Fold `batch`, which must begin at or before `next_offset`.

        Shape: `decoded` is what decoding the batch gave, where that was done beforehand.
        Delivery: records below `next_offset` are skipped; safe to repeat.
        Raises: RegistryUnavailable (retry), nothing folded.
        """
        news = batch.from_offset(self.next_offset)
        if news is None:
            return
        if news.position > self.next_offset:
            raise ValueError(f"batch begins at {news.position}, the table is at {self.next_offset}")
        if decoded is None or news is not batch:
            decoded = decode_event_batch(news, self._framing)
        frame = _at_its_place(decoded.frame, news)
        fresh = drop_duplicates(frame, lambda run_id: self._state_of(run_id).seen)
        self._changed.update(fold_frame(fresh, self._state_of))
        self._reject(news, decoded.rejected)
        self._frames.append(fresh.select(*EVENT_FIELDS, "offset", "recorded_at"))
        self._counts += FlushCounts(
            records=len(news),
            events=fresh.height,
            duplicates=frame.height - fresh.height,
            dead_letters=len(decoded.rejected),
        )
        self._recorded_at = news.timestamps_ms[-1] * _US_PER_MS
        self.next_offset = news.covers.next_offset

    def _state_of(self, run_id: str) -> RunState:
        state = self._states.get(run_id)
        if state is None:
            state = self._states[run_id] = RunState(run_id)
        return state

    def _reject(self, batch: RecordBatch, rejected: list[Rejected]) -> None:
        if not rejected:
            return
        letters = [
            DeadLetter(
                self.log,
                batch.offsets[each.row],
                batch.timestamps_ms[each.row] * _US_PER_MS,
                str(each.reason),
                each.message,
                batch.keys[each.row],
                batch.values[each.row],
            )
            for each in rejected
        ]
        self.dead_letters += letters
        self._frames.append(
            pl.DataFrame(
                {
                    "run_id": [_text(each.key) for each in letters],
                    "event_id": [find_minted_id(each.value or b"") for each in letters],
                    "offset": [each.offset for each in letters],
                    "recorded_at": [each.recorded_at for each in letters],
                    "dead_letter_reason": [each.reason for each in letters],
                    "dead_letter_message": [each.message for each in letters],
                },
                schema_overrides={"run_id": pl.String, "event_id": pl.String},
            )
        )

    def pending(self) -> Flush | None:
        """Return all that was folded since the last flush, None where nothing was.

        Shape: the states are the table's own, so it must not fold while they are being written.
        """
        if self.next_offset == self.durable_offset:
            return None
        return Flush(
            log=self.log,
            range=OffsetRange(self.durable_offset, self.next_offset - 1),
            events=_lake_frame(self._frames, self.log.partition),
            states=[self._states[run_id] for run_id in sorted(self._changed)],
            counts=self._counts,
            recorded_at_us=self._recorded_at,
        )

    def flushed(self, flush: Flush) -> None:
        """Note that `flush`, which `pending` gave last, is durable."""
        self.durable_offset = flush.range.next_offset
        self._frames.clear()
        self._changed.clear()
        self._counts = FlushCounts()


def _text(key: bytes | None) -> str | None:
    """Return the run id that the key of a record seems to be."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def _at_its_place(frame: pl.DataFrame, batch: RecordBatch) -> pl.DataFrame:
    rows = frame[ROW]
    return frame.with_columns(
        pl.col("occurred_at").dt.timestamp("us"),
        pl.Series("offset", batch.offsets, dtype=pl.Int64).gather(rows),
        (pl.Series("recorded_at", batch.timestamps_ms, dtype=pl.Int64) * _US_PER_MS).gather(rows),
    )


def _lake_frame(frames: list[pl.DataFrame], partition: int) -> pl.DataFrame:
    """Return the frames as the columns of an events file, in offset order."""
    together = pl.concat(frames, how="diagonal")
    if "dead_letter_reason" in together.columns:
        together = together.sort("offset")
    else:
        nothing = pl.lit(None, dtype=pl.String)
        together = together.with_columns(
            nothing.alias("dead_letter_reason"), nothing.alias("dead_letter_message")
        )
    return together.select(
        *(pl.col(name).cast(_TIME) if name == "occurred_at" else name for name in EVENT_FIELDS),
        pl.lit(partition, dtype=pl.Int32).alias("partition"),
        "offset",
        pl.col("recorded_at").cast(_TIME),
        "dead_letter_reason",
        "dead_letter_message",
    )
