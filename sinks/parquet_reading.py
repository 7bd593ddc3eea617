"""How the lake's Parquet files are read. Files of no bytes, or torn ones, raise as Arrow does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at


@contextlib.contextmanager
def parquet_file(path: LakePath) -> Iterator[pq.ParquetFile]:
    """Open a file of which parts are read. Raises: OSError, ArrowException."""
    with at(path).opened() as source, pq.ParquetFile(source) as parquet:
        yield parquet


@contextlib.contextmanager
def whole_parquet_file(path: LakePath, *, read_ahead_bytes: int = 0) -> Iterator[pq.ParquetFile]:
    """Open a file that is read from end to end. Raises: OSError, ArrowException."""
    with at(path).copied() as copy, pq.ParquetFile(copy, buffer_size=read_ahead_bytes) as parquet:
        yield parquet


def columns_of(path: LakePath, names: Sequence[str]) -> pl.DataFrame:
    """Return some columns of a file. Raises: OSError, ArrowException, PolarsError."""
    if isinstance(path, Path):  # from a disk polars is quicker
        return pl.read_parquet(
            path, columns=list(names), glob=False, hive_partitioning=False, use_statistics=False
        )
    with parquet_file(path) as parquet:
        return pl.DataFrame(parquet.read(list(names), use_threads=False))


def metadata_of(path: LakePath) -> dict[str, str]:
    """Return the key-value metadata of a file. Raises: OSError, ArrowException, PolarsError."""
    if isinstance(path, Path):
        return pl.read_parquet_metadata(path)
    with parquet_file(path) as parquet:
        said: dict[bytes, bytes] = parquet.metadata.metadata or {}
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in said.items()}
