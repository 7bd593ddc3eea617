"""Rows of files that an earlier runfold wrote."""

from __future__ import annotations

import pyarrow as pa


def with_columns(rows: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of `schema`; one that an older file has not got is null."""
    held = dict(zip(rows.schema.names, rows.columns, strict=True))
    columns = []
    for field in schema:
        column = held.get(field.name)
        if column is None:
            column = pa.nulls(rows.num_rows, field.type)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)
