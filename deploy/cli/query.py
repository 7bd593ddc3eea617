"""`runfold query`: SQL over the lake."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from runfold.deploy.cli.query_shell import query_shell
from runfold.deploy.cli.tables import print_rows, rows_as_text
from runfold.deploy.cli.terminal import EXIT_USAGE, DataDir, Format, Lake, fail
from runfold.deploy.settings import load_settings


class QueryFormat(StrEnum):
    """How a result is given."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def query(
    sql: Annotated[str, typer.Argument(help="One statement, or - to read it from stdin.")] = "-",
    output: Annotated[
        QueryFormat, typer.Option("--format", "-f", help="How to give the result.")
    ] = QueryFormat.TABLE,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to stdout.")
    ] = None,
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Ask the lake by SQL: views events, runs, tools, llm_calls, dead_letters; run_at(ID, TIME).

    Without a statement, in a terminal, it asks what you type.
    For example: runfold query "select status, count(*), sum(cost_usd) from runs group by 1"
    """
    from runfold.sinks.query import open_lake

    if sql == "-" and sys.stdin.isatty():
        with open_lake(load_settings(lake=lake, data_dir=data_dir).lake_dir) as lake_queries:
            query_shell(lake_queries)
        return
    if output is QueryFormat.PARQUET and file is None and sys.stdout.isatty():
        raise fail("Parquet is nothing for a terminal", hint="add --output FILE", code=EXIT_USAGE)
    text = sys.stdin.read() if sql == "-" else sql
    with open_lake(load_settings(lake=lake, data_dir=data_dir).lake_dir) as lake_queries:
        if output is QueryFormat.PARQUET:
            _write(lake_queries.as_parquet(text), file)
            return
        rows, columns = lake_queries.rows_and_columns(text)
    if file is None:
        print_rows(rows, Format(output), columns)
        return
    _write(rows_as_text(rows, Format(output), columns).encode(), file)


def _write(content: bytes, file: Path | None) -> None:
    if file is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        raise fail(f"cannot write {file}: {error.strerror}") from error
