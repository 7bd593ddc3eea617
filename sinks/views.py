"""The views over a lake: one SQL text, for our own engine and for plain DuckDB alike."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from runfold.schemas.codec.arrow import lake_event_schema, lake_state_schema
from runfold.sinks.durable_files import write_file
from runfold.sinks.lake_files import SCHEMA_FOLDER

VIEW_NAMES = ("events", "runs", "tools", "llm_calls", "dead_letters")
VIEWS_FILE = "views.sql"

_EMPTY_EVENTS = f"{SCHEMA_FOLDER}/events/date=1970-01-01/hour=00/empty.parquet"
_EMPTY_STATES = f"{SCHEMA_FOLDER}/states/empty.parquet"


def views_sql(root: Path) -> str:
    """Return the statements that make the views over the lake in `root`."""
    template = files("runfold.sinks").joinpath(VIEWS_FILE).read_text("utf-8")
    return template.format(root=str(root.absolute()).replace("'", "''"))


def prepare_lake(root: Path) -> None:
    """Put `views.sql` and files of no rows into a lake, so that an empty one has its columns too.

    Delivery: safe to repeat. Raises: LakeUnavailable.
    """
    _write_changed(root / VIEWS_FILE, views_sql(root).encode())
    _write_changed(root / _EMPTY_EVENTS, _no_rows(lake_event_schema()))
    _write_changed(root / _EMPTY_STATES, _no_rows(lake_state_schema()))


def _write_changed(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_file(path, content)


def _no_rows(schema: pa.Schema) -> bytes:
    stream = io.BytesIO()
    pq.write_table(schema.empty_table(), stream)
    return stream.getvalue()
