"""Dropping events that a run has seen already, a batch at a time.

Ids that the client minted come as unbroken sequences: one comparison for each run and producer
settles a whole batch. Only where a sequence has a gap, repeats, or comes from elsewhere are the
ids looked at one by one, in log order.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from runfold.schemas.event_ids import MINTED_ID_PATTERN, EventIdSet, hash_foreign_id

SeenOf = Callable[[str], EventIdSet]
"""Gives the set of ids that a run has seen; the set is added to."""

_MINTED = pl.col("event_id").str.extract_groups(MINTED_ID_PATTERN)


def drop_duplicates(frame: pl.DataFrame, seen_of: SeenOf) -> pl.DataFrame:
    """Return the rows of `frame` whose event id its run had not seen, and remember these ids.

    Shape: `frame` has `run_id` and `event_id` and is in log order; the first of equal ids stays.
    """
    ids = frame.select("run_id", "event_id", _MINTED.alias("minted")).unnest("minted")
    ids = ids.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"),
        "run_id",
        "event_id",
        pl.col("1").alias("producer"),
        pl.col("2").cast(pl.Int64).alias("sequence"),
    )
    doubtful = _remember_unbroken(ids, seen_of)
    if doubtful.is_empty():
        return frame
    duplicates = _remember_one_by_one(ids, doubtful, seen_of)
    if not duplicates:
        return frame
    keep = pl.Series([True]).new_from_index(0, frame.height)
    return frame.filter(keep.scatter(duplicates, False))


def _remember_unbroken(ids: pl.DataFrame, seen_of: SeenOf) -> pl.DataFrame:
    """Settle what can be settled a sequence at a time; return the groups that cannot."""
    groups = ids.group_by("run_id", "producer").agg(
        pl.col("sequence").min().alias("first"),
        pl.col("sequence").max().alias("last"),
        pl.col("sequence").n_unique().alias("distinct"),
        pl.len().alias("count"),
    )
    doubtful: list[tuple[str, str | None]] = []
    for run_id, producer, first, last, distinct, count in groups.iter_rows():
        unbroken = producer is not None and distinct == count == last - first + 1
        if not (unbroken and seen_of(run_id).extend(producer, first, last)):
            doubtful.append((run_id, producer))
    schema = {"run_id": pl.String, "producer": pl.String}
    return pl.DataFrame(doubtful, schema=schema, orient="row")


def _remember_one_by_one(ids: pl.DataFrame, doubtful: pl.DataFrame, seen_of: SeenOf) -> list[int]:
    rows = ids.join(doubtful, on=["run_id", "producer"], how="semi", nulls_equal=True).sort("place")
    duplicates: list[int] = []
    for place, run_id, event_id, producer, sequence in rows.iter_rows():
        seen = seen_of(run_id)
        if producer is not None:
            new = seen.add_sequence(producer, sequence)
        else:
            known_before = len(seen.hashes)
            seen.hashes.add(hash_foreign_id(event_id))
            new = len(seen.hashes) > known_before
        if not new:
            duplicates.append(place)
    return duplicates
