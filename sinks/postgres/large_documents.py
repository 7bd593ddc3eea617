"""Large documents on their way into PostgreSQL: rows that name one get its content."""

from __future__ import annotations

import orjson
import psycopg
import structlog

from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.objects import OBJECT_ATTRIBUTE
from runfold.sinks.objects import LakeObjects

_LARGEST_BYTES = 128 * 1024 * 1024
"""PostgreSQL's own limit for JSON is 255 MiB; larger ones stay named only."""


def bring_in(connection: psycopg.Connection, objects: LakeObjects) -> None:
    """Put documents in place of the `content` in the stage that names them.

    Shape: one that is damaged, gone or too large stays named. Raises: LakeUnavailable (retry).
    """
    naming = connection.execute(
        "select ctid, content from pg_temp.stage where strpos(content, %s) > 0",
        [f'"{OBJECT_ATTRIBUTE}"'],
    ).fetchall()
    for place, content in naming:
        document = _document(objects, content)
        if document is not None:
            connection.execute(
                "update pg_temp.stage set content = %s where ctid = %s", [document, place]
            )


def _document(objects: LakeObjects, content: str) -> str | None:
    try:
        named = orjson.loads(content)[OBJECT_ATTRIBUTE]
        digest, size_bytes = str(named["sha256"]), int(named["bytes"])
    except (ValueError, LookupError, TypeError):
        return None
    if size_bytes > _LARGEST_BYTES:
        return None
    try:
        document = objects.get(digest)
    except LakeCorrupt as error:
        structlog.get_logger(__name__).warning("document damaged", error=str(error))
        return None
    return None if document is None else document.decode()
