"""The few statements that clients send: inserts of JSON rows, and questions that only ask if."""

from __future__ import annotations

import re
from typing import NamedTuple

SERVER_VERSION = "24.8.1.1"
"""What clients are told that they speak to."""

_INSERT = re.compile(
    rb"""\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?:FUNCTION\s+)?
    (?P<table>[\w.`"]+)\s*(?:\([^)]*\)\s*)?
    (?:SETTINGS\s.*?)?FORMAT\s+(?P<format>\w+)[ \t]*;?(?P<rows>.*)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_LONGEST_STATEMENT = 4096
_FORMATS = {b"jsoneachrow", b"ndjson", b"jsonlines"}
_ANSWERS = {"select 1": ("1", "1"), "select version()": ("version()", SERVER_VERSION)}


class ClickHouseError(Exception):
    """A statement is refused. Shape: `code` and `name` are ClickHouse's."""

    def __init__(self, code: int, name: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.name = name
        self.status = status


class Insert(NamedTuple):
    """Rows for a table, one JSON object a line."""

    table: str
    rows: bytes


def parse_statement(query: bytes, body: bytes) -> Insert | str:
    """Return the insert that is asked for, or the statement of another kind, in lower case.

    Shape: the statement may begin in the address and go on in the body.
    Raises: ClickHouseError where it is an insert of another format, or nothing.
    """
    statement = b"\n".join(part for part in (query, body) if part)
    if not statement.strip():
        raise ClickHouseError(62, "SYNTAX_ERROR", "Syntax error: Empty query")
    found = _INSERT.match(statement)
    if found is None:
        said = statement[:_LONGEST_STATEMENT].decode("utf-8", "replace").lower()
        return " ".join(said.strip().rstrip(";").split())
    if found["format"].lower() not in _FORMATS:
        given = found["format"].decode("utf-8", "replace")
        message = f"Format {given} is not taken here; JSONEachRow is"
        raise ClickHouseError(73, "UNKNOWN_FORMAT", message)
    return Insert(found["table"].decode("utf-8", "replace"), found["rows"])


def answer_to(statement: str, output_format: str) -> str:
    """Return the answer to a statement that is no insert. Raises: ClickHouseError."""
    statement, _, asked = statement.partition(" format ")
    if statement not in _ANSWERS:
        raise ClickHouseError(
            48,
            "NOT_IMPLEMENTED",
            f"{statement[:80]!r} is not answered here: runfold's collector takes INSERT … FORMAT "
            "JSONEachRow and SELECT 1; what is stored is asked for with `runfold query`",
        )
    name, value = _ANSWERS[statement]
    if (asked or output_format).lower() in ("jsoneachrow", "ndjson"):
        return f'{{"{name}":{value}}}\n' if value.isdecimal() else f'{{"{name}":"{value}"}}\n'
    return f"{value}\n"
