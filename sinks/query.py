"""Asking the lake by SQL."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from runfold.schemas.errors import QueryFailed
from runfold.sinks.lake_connection import lake_connection
from runfold.sinks.lake_files import check_lake
from runfold.sinks.object_path import LakePath
from runfold.sinks.views import VIEW_NAMES, listed_views_sql, listing_sql

_REFUSED = {
    duckdb.StatementType.COPY: "use --output FILE",
    duckdb.StatementType.EXPORT: "use --output FILE",
    duckdb.StatementType.ATTACH: "read_csv and read_parquet read other files",
    duckdb.StatementType.LOAD: "read_csv and read_parquet read other files",
    duckdb.StatementType.PREPARE: "ask the question itself",
}
"""Statements that could write files or bring others in, and what to do instead."""
_COPIES = re.compile(r".*\b(copy|export)\b", re.IGNORECASE | re.DOTALL).match


class LakeQueries:
    """A DuckDB connection with the views over one lake. Reads only; not thread-safe.

    Shape: a question is answered from the files that were there when it was asked.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, listing: str) -> None:
        self._connection = connection
        self._listing = listing

    def ask(self, sql: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Return the result of the last statement of `sql`.

        Raises: QueryFailed (DuckDB's message, and which views there are), also where a statement
        would write a file.
        """
        with _failures():
            statements = self._connection.extract_statements(sql)
            if not statements:
                raise _failed("there is no statement to run")
            for statement in statements:
                if statement.type in _REFUSED:
                    instead = _REFUSED[statement.type]
                    raise QueryFailed(f"{statement.type.name} is not allowed here; {instead}")
                if statement.type is duckdb.StatementType.EXPLAIN and _COPIES(statement.query):
                    raise QueryFailed(
                        "EXPLAIN of a COPY is not allowed here: it may write the file"
                    )
            self._connection.execute(self._listing)
            for statement in statements[:-1]:
                self._connection.execute(statement)
            return self._relation(statements[-1], parameters)

    def rows(self, sql: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
        """Return the result of `sql` as one dictionary a row. Raises: QueryFailed."""
        return self.rows_and_columns(sql, parameters)[0]

    def rows_and_columns(
        self, sql: str, parameters: list[Any] | None = None
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the result of `sql`, one dictionary a row, and the names of its columns.

        Shape: of columns of equal name the later ones are numbered. Raises: QueryFailed.
        """
        relation = self.ask(sql, parameters)
        names = _distinct(relation.columns)
        with _failures():
            return [dict(zip(names, row, strict=True)) for row in relation.fetchall()], names

    def as_parquet(self, sql: str) -> bytes:
        """Return the result of `sql` as a Parquet file. Raises: QueryFailed."""
        import pyarrow.parquet as pq  # takes longer than most questions

        relation = self.ask(sql)
        names = _distinct(relation.columns)
        stream = io.BytesIO()
        with _failures():
            table = relation.to_arrow_table().rename_columns(names)
        pq.write_table(table, stream, compression="zstd")
        return stream.getvalue()

    def _relation(self, statement: Any, parameters: list[Any] | None) -> duckdb.DuckDBPyRelation:
        relation = self._connection.sql(statement.query, params=parameters)
        return self._connection.sql("select true as done") if relation is None else relation


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise _failed(str(error)) from error


def _failed(problem: str) -> QueryFailed:
    return QueryFailed(f"{problem}\n\nviews: {', '.join(VIEW_NAMES)}")


def _distinct(names: list[str]) -> list[str]:
    distinct: list[str] = []
    for name in names:
        again = sum(each == name or each.startswith(f"{name}:") for each in distinct)
        distinct.append(f"{name}:{again}" if again else name)
    return distinct


@contextmanager
def open_lake(root: LakePath) -> Iterator[LakeQueries]:
    """Open the lake in `root` for questions.

    Raises: LakeUnavailable where there is none, QueryFailed where its views cannot be made.
    """
    check_lake(root)
    with lake_connection(root) as connection:
        with _failures():
            connection.execute("set timezone = 'UTC'")
            connection.execute(listed_views_sql(root))
        yield LakeQueries(connection, listing_sql(root))
