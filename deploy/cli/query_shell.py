"""SQL over the lake, statement by statement, in a terminal."""

from __future__ import annotations

from contextlib import suppress

from runfold.deploy.cli.tables import print_rows
from runfold.deploy.cli.terminal import ERR, OUT, Format
from runfold.schemas.errors import QueryFailed
from runfold.sinks.query import LakeQueries
from runfold.sinks.views import VIEW_NAMES


def query_shell(lake: LakeQueries) -> None:
    """Ask what is typed until the input ends; a statement ends with a semicolon."""
    with suppress(ImportError):
        import readline  # noqa: F401 - which gives `input` its history
    OUT.print(f"[dim]views: {', '.join(VIEW_NAMES)}; end a statement with ; and all with Ctrl-D[/]")
    lines: list[str] = []
    while True:
        try:
            lines.append(input("runfold> " if not lines else "    ...> "))
        except EOFError:
            return
        except KeyboardInterrupt:
            lines.clear()
            OUT.print()
            continue
        statement = "\n".join(lines).strip()
        if not statement.endswith(";"):
            continue
        lines.clear()
        try:
            rows, columns = lake.rows_and_columns(statement)
        except QueryFailed as error:
            ERR.print(str(error), style="red", markup=False)
        else:
            print_rows(rows, Format.TABLE, columns)
