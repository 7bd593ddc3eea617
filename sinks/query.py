"""Asking the lake by SQL."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from runfold.schemas.errors import LakeUnavailable, QueryFailed
from runfold.sinks.lake_files import SCHEMA_FOLDER
from runfold.sinks.views import VIEW_NAMES, views_sql

_WRITING = frozenset(
    {
        duckdb.StatementType.COPY,
        duckdb.StatementType.EXPORT,
        duckdb.StatementType.ATTACH,
        duckdb.StatementType.LOAD,
    }
)


class LakeQueries:
    """A DuckDB connection with the views over one lake. Reads only; not thread-safe."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def ask(self, sql: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Return the result of the last statement of `sql`.

        Raises: QueryFailed (DuckDB's message, and which views there are), also where a statement
        would write a file.
        """
        with _failures():
            statements = self._connection.extract_statements(sql)
            if not statements:
                raise QueryFailed("there is no statement to run")
            for statement in statements:
                if statement.type in _WRITING:
                    kind = statement.type.name
                    raise QueryFailed(f"{kind} is not allowed here; use --output FILE")
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
        relation = self.ask(sql)
        stream = io.BytesIO()
        with _failures():
            pq.write_table(relation.to_arrow_table(), stream, compression="zstd")
        return stream.getvalue()

    def _relation(self, statement: Any, parameters: list[Any] | None) -> duckdb.DuckDBPyRelation:
        if statement.type is duckdb.StatementType.SELECT:
            return self._connection.sql(statement.query, params=parameters)
        self._connection.execute(statement, parameters or [])
        return self._connection.from_arrow(self._connection.to_arrow_table())


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise QueryFailed(f"{error}\n\nviews: {', '.join(VIEW_NAMES)}") from error


def _distinct(names: list[str]) -> list[str]:
    distinct: list[str] = []
    for name in names:
        again = sum(each == name or each.startswith(f"{name}:") for each in distinct)
        distinct.append(f"{name}:{again}" if again else name)
    return distinct


@contextmanager
def open_lake(root: Path) -> Iterator[LakeQueries]:
    """Open the lake in `root` for questions. Raises: LakeUnavailable where there is none."""
    if not (root / SCHEMA_FOLDER).is_dir():
        raise LakeUnavailable(f"there is no lake at {root}; `runfold up` or a worker makes one")
    with duckdb.connect(":memory:") as connection:
        connection.execute(views_sql(root))
        connection.execute("set timezone = 'UTC'")
        yield LakeQueries(connection)
