"""The tables of the export, made and changed by numbered files that are applied once, in order."""

from __future__ import annotations

import re
from importlib.resources import files

import psycopg

from runfold.schemas.errors import ConfigurationError

_FILE = re.compile(r"^([0-9]{4})_([a-z0-9_]+)\.sql$")
LOCK = 0x72756E666F6C64
"""The advisory lock that everything which writes to our tables holds; the letters of runfold."""

_VERSIONS = """
create schema if not exists runfold;
create table if not exists runfold.schema_versions (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default now()
);
"""


def all_migrations() -> list[tuple[int, str, str]]:
    """Return number, name and statements of every migration, in order."""
    found = []
    for each in files(__name__).iterdir():
        match = _FILE.match(each.name)
        if match:
            found.append((int(match[1]), match[2], each.read_text("utf-8")))
    return sorted(found)


def migrate(connection: psycopg.Connection) -> list[str]:
    """Apply the migrations that were not applied yet; return their names.

    Delivery: all or none, one process at a time.
    Raises: ConfigurationError where a newer runfold has changed the tables; psycopg.Error.
    """
    known = all_migrations()
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        if not _exists(connection):
            connection.execute(_VERSIONS)
        rows = connection.execute("select version from runfold.schema_versions").fetchall()
        applied = {version for (version,) in rows}
        if max(applied, default=0) > known[-1][0]:
            raise ConfigurationError(
                f"the tables are of version {max(applied)}, made by a newer runfold; "
                f"this one knows {known[-1][0]}: update it, or use another database"
            )
        done = []
        for version, name, statements in known:
            if version not in applied:
                connection.execute(statements.encode())
                connection.execute(
                    "insert into runfold.schema_versions (version, name) values (%s, %s)",
                    [version, name],
                )
                done.append(name)
    return done


def _exists(connection: psycopg.Connection) -> bool:
    """Tell whether the table of versions is there: a user who may not create need not."""
    row = connection.execute("select to_regclass('runfold.schema_versions')").fetchone()
    return row is not None and row[0] is not None
