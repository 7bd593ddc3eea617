"""Asking the lake by SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

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
        try:
            statements = self._connection.extract_statements(sql)
            if not statements:
                raise QueryFailed("there is no statement to run")
            for statement in statements:
                if statement.type in _WRITING:
                    raise QueryFailed(f"{statement.type.name} is not allowed here; use --output FILE")
            for statement in statements[:-1]:
                self._connection.execute(statement)
            return self._relation(statements[-1], parameters)
        except duckdb.Error as error:
            raise QueryFailed(f"{error}\n\nviews: {', '.join(VIEW_NAMES)}") from error

    def rows(self, sql: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
        """Return the result of `sql` as one dictionary a row. Raises: QueryFailed."""
        try:
            relation = self.ask(sql, parameters)
            names = relation.columns
            return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
        except duckdb.Error as error:
            raise QueryFailed(str(error)) from error

    def _relation(self, statement: Any, parameters: list[Any] | None) -> duckdb.DuckDBPyRelation:
        if statement.type is duckdb.StatementType.SELECT:
            return self._connection.sql(statement.query, params=parameters)
        self._connection.execute(statement, parameters or [])
        return self._connection.from_arrow(self._connection.to_arrow_table())


@contextmanager
def open_lake(root: Path) -> Iterator[LakeQueries]:
    """Open the lake in `root` for questions. Raises: LakeUnavailable where there is none."""
    if not (root / SCHEMA_FOLDER).is_dir():
        raise LakeUnavailable(f"there is no lake at {root}; `runfold up` or a worker makes one")
    with duckdb.connect(":memory:") as connection:
        connection.execute(views_sql(root))
        connection.execute("set timezone = 'UTC'")
        yield LakeQueries(connection)
