"""The table of one partition: the states of its runs, as of `next_offset`.

It is ours and not Faust's: a dictionary, filled from the lake and flushed to it. What it holds is
a function of the log up to `next_offset`, whoever folded it and however often. Runs that have been
silent for a while leave it; of them it knows where they were heard of last, and its owner brings
them back from the lake before they are folded into again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from runfold.processors.dedupe import drop_duplicates
from runfold.processors.fold_columns import fold_frame
from runfold.processors.folds import FoldFrame
from runfold.schemas.codec.columns import ROW, DecodedBatch, Rejected, decode_event_batch
from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.errors import LakeAhead
from runfold.schemas.event import EVENT_FIELDS
from runfold.schemas.event_ids import find_minted_id
from runfold.schemas.lake import Flush, FlushCounts
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.schemas.past_runs import PastRuns
from runfold.schemas.record_batch import Headers, RecordBatch
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
    headers: Headers = ()


_LONGEST_SILENCE_US = 10 * 60 * 1_000_000
_MOST_RUNS = 50_000


class RunTable:
    """Folds one partition. Not thread-safe: the owner of the partition holds a lock."""

    def __init__(
        self,
        log: LogPartition,
        next_offset: int,
        past: PastRuns | None = None,
        *,
        framing: Framing = EVENT_FRAMING,
        fold: FoldFrame = fold_frame,
    ) -> None:
        """Begin at `next_offset`. Shape: `past` are the runs heard of before it."""
        self.log = log
        self.next_offset = next_offset
        """The offset to read next: the table is the state of all offsets before it."""
        self.durable_offset = next_offset
        """The offset up to which all is in the lake, exclusive."""
        self.dead_letters: list[DeadLetter] = []
        """Those that wait for being sent, which must come before the next flush."""
        self.most_runs = _MOST_RUNS
        """How many states to hold at most between two flushes."""
        self.kept_before = 0
        """The states of runs that began before it were made elsewhere and may be further on."""
        self._states: dict[str, RunState] = {}
        """In the order in which they changed last, as of the last flush."""
        self._past = PastRuns() if past is None else past
        self.framing = framing
        self._fold = fold
        self._frames: list[pl.DataFrame] = []
        self._changed: set[str] = set()
        self._counts = FlushCounts()
        self._recorded_at = 0
        self._stored = False

    def __len__(self) -> int:
        """Return how many states are held."""
        return len(self._states)

    @property
    def past_count(self) -> int:
        """How many runs were heard of whose states are in the lake only."""
        return len(self._past)

    @property
    def pending_records(self) -> int:
        """How many records have been folded and are not in the lake yet."""
        return self._counts.records

    def state(self, run_id: str) -> RunState | None:
        """Return the state of a run."""
        return self._states.get(run_id)

    def past_runs(self, frame: pl.DataFrame) -> dict[str, int]:
        """Return the runs of `frame` that were heard of and are not held, and where it was."""
        run_ids = frame["run_id"].unique().to_list()
        return self._past.find(run_id for run_id in run_ids if run_id not in self._states)

    def bring_back(self, states: Iterable[RunState]) -> None:
        """Hold `states`, which the lake has of `past_runs`, again.

        Raises: LakeAhead (retry) where another worker is further on than this table.
        """
        for state in states:
            is_kept = self.kept_before > 0 and state.first_offset < self.kept_before
            if state.last_offset >= self.next_offset and not is_kept:
                raise LakeAhead(
                    f"partition {self.log.partition}: this worker is at {self.next_offset}, and "
                    f"the lake has run {state.run_id} as of {state.last_offset} already"
                )
            self._states.setdefault(state.run_id, state)

    def take(self, batch: RecordBatch, decoded: DecodedBatch | None = None) -> None:
        """Fold `batch`, which must begin at or before `next_offset`, its past runs brought back.

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
            decoded = decode_event_batch(news, self.framing)
        frame = _at_its_place(decoded.frame, news)
        fresh = drop_duplicates(frame, lambda run_id: self._state_of(run_id).seen)
        self._changed.update(self._fold(fresh, self._state_of))
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

    def take_stored(self, events: pl.DataFrame, next_offset: int) -> None:
        """Fold events that the lake holds, and be at `next_offset`, which is behind them.

        Shape: as `LakeStore.events_of` yields them, their past runs brought back. A flush of them
        has states only, so that what is pending of the log must be flushed before and after.
        """
        frame = events.with_columns(pl.col("occurred_at", "recorded_at").dt.timestamp("us"))
        fresh = drop_duplicates(frame, lambda run_id: self._state_of(run_id).seen)
        self._changed.update(self._fold(fresh, self._state_of))
        self._counts += FlushCounts(records=next_offset - self.next_offset, events=fresh.height)
        self._recorded_at = int(frame["recorded_at"][-1]) if frame.height else self._recorded_at
        self._stored = True
        self.next_offset = next_offset

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
                batch.headers_of(each.row),
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
            events=None if self._stored else _lake_frame(self._frames, self.log.partition),
            states=[self._states[run_id] for run_id in sorted(self._changed)],
            counts=self._counts,
            recorded_at_us=self._recorded_at,
        )

    def flushed(self, flush: Flush) -> None:
        """Note that `flush`, which `pending` gave last, is durable; let silent runs go."""
        self.durable_offset = flush.range.next_offset
        for run_id in self._changed:
            self._states[run_id] = self._states.pop(run_id)
        self._frames.clear()
        self._changed.clear()
        self._counts = FlushCounts()
        self._stored = False
        self._let_silent_runs_go()

    def _let_silent_runs_go(self) -> None:
        silent_since = self._recorded_at - _LONGEST_SILENCE_US
        too_many = len(self._states) - self.most_runs
        silent: list[RunState] = []
        for state in self._states.values():
            if len(silent) >= too_many and (state.last_recorded_at or 0) >= silent_since:
                break
            silent.append(state)
        for state in silent:
            del self._states[state.run_id]
            self._past.add(state.run_id, state.last_offset)


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
