"""DuckDB connections that can read a lake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from runfold.sinks.object_path import LakePath, ObjectPath


@contextmanager
def lake_connection(root: LakePath) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection of its own that reads the files of the lake in `root`.

    DuckDB reads `s3://` by an extension that it downloads; this needs none.
    """
    with duckdb.connect(":memory:") as connection:
        if isinstance(root, ObjectPath):
            from runfold.sinks.duckdb_objects import BucketFiles

            connection.register_filesystem(BucketFiles())
        yield connection
