"""The connection to PostgreSQL, and its errors in runfold's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runfold.schemas.errors import ConfigurationError, RunfoldError

OLDEST_VERSION = 16
"""It was the first to tell whether a text is JSON without an error."""

_CONNECT_SECONDS = 10


class PostgresUnavailable(RunfoldError):
    """PostgreSQL does not answer, or hung up: down, restarting, or out of room."""

    code = "postgres_unavailable"
    disposition = "retry"


class PostgresRefused(RunfoldError):
    """PostgreSQL refuses what the export asks: a right is missing, or the tables are not ours."""

    code = "postgres_refused"


_PASSING = (
    errors.OperationalError,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.InterfaceError,
)
_WRONG_ADDRESS = (
    errors.InvalidPassword,
    errors.InvalidCatalogName,
    errors.InvalidAuthorizationSpecification,
)


def connect(url: str) -> psycopg.Connection:
    """Connect to the database that `url` names.

    Raises: ConfigurationError for what is no address, a wrong password or an old version;
    PostgresUnavailable (retry).
    """
    try:
        address = make_conninfo(
            url, connect_timeout=_CONNECT_SECONDS, application_name="runfold export"
        )
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"not an address of PostgreSQL: {shown(url)}: {error}") from error
    with postgres_errors(f"no answer from PostgreSQL at {shown(url)}"):
        connection = psycopg.connect(address, autocommit=True)
        connection.execute("set timezone to 'UTC'")  # days are UTC days here as in the lake
    version = connection.info.server_version // 10_000
    if version < OLDEST_VERSION:
        connection.close()
        raise ConfigurationError(
            f"PostgreSQL {version} at {shown(url)} is too old; {OLDEST_VERSION} or later is needed"
        )
    return connection


def shown(url: str) -> str:
    """Return an address without its password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "(the address given)"
    host, port = parts.get("host", "localhost"), parts.get("port", 5432)
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"postgresql://{user}{host}:{port}/{parts.get('dbname', '')}"


@contextmanager
def postgres_errors(doing: str) -> Iterator[None]:
    """Turn what psycopg raises into errors of runfold."""
    try:
        yield
    except _WRONG_ADDRESS as error:
        raise ConfigurationError(f"{doing}: {_said(error)}") from error
    except errors.InsufficientPrivilege as error:
        raise PostgresRefused(
            f"{doing}: {_said(error)}; the user needs CREATE on the database, "
            "or to be the owner of the schema runfold"
        ) from error
    except _PASSING as error:
        if _is_wrong_address(error):
            raise ConfigurationError(f"{doing}: {_said(error)}") from error
        raise PostgresUnavailable(f"{doing}: {_said(error)}") from error
    except psycopg.Error as error:
        raise PostgresRefused(f"{doing}: {_said(error)}") from error


def _is_wrong_address(error: psycopg.Error) -> bool:
    """Tell whether the server refused whom or what the address names.

    While a connection is made, psycopg has the server's words and no code.
    """
    said = str(error)
    return error.sqlstate is None and any(
        words in said
        for words in ("password authentication failed", "does not exist", "no password")
    )


def _said(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
