"""How the lake's Parquet files are written."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq

from runfold.schemas.codec.arrow import lake_event_schema, lake_state_schema

ZSTD_LEVEL = 1
EVENTS_A_GROUP = 100_000
STATES_A_GROUP = 20_000
"""Rows that are read to find one run, by its id."""
_STATES_PAGE_BYTES = 16 * 1024
"""Who merges many files has one page of each column of each of them in memory."""


def events_writer(stream: Any) -> pq.ParquetWriter:
    """Return what writes events into a binary stream; statistics on all columns."""
    return pq.ParquetWriter(
        stream,
        lake_event_schema(),
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        store_schema=False,
    )


def states_writer(stream: Any) -> pq.ParquetWriter:
    """Return what writes states, which come in the order of `run_id`, into a binary stream."""
    return pq.ParquetWriter(
        stream,
        lake_state_schema(),
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=False,  # few values repeat: half the bytes, half the time
        write_statistics=["run_id"],
        data_page_size=_STATES_PAGE_BYTES,
        store_schema=False,
    )
