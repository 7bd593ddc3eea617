"""The views over a lake: one SQL text, for our own engine and for plain DuckDB alike."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from importlib.resources import files

import pyarrow as pa
import pyarrow.parquet as pq

from runfold.schemas.codec.arrow import lake_event_schema, lake_state_schema
from runfold.schemas.silence import SilenceRule
from runfold.sinks.fold_words import fold_words
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import SCHEMA_FOLDER
from runfold.sinks.object_path import LakePath
from runfold.sinks.state_sets import serving_set, states_root
from runfold.sinks.storage import at, write_file

VIEW_NAMES = ("events", "runs", "tools", "llm_calls", "dead_letters")
VIEWS_FILE = "views.sql"
_PAST_FILE = "run_at.sql"

EMPTY_EVENTS = f"{SCHEMA_FOLDER}/events/date=1970-01-01/hour=00/empty.parquet"
EMPTY_STATES = f"{SCHEMA_FOLDER}/states/empty.parquet"
_MILLISECOND = timedelta(milliseconds=1)
_GLOB_CHARACTERS = re.compile(r"([*?\[])")
_DUCKDB_TYPES = {
    pa.string(): "varchar",
    pa.binary(): "blob",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp with time zone",
}


def views_sql(root: LakePath, silence: SilenceRule | None = None) -> str:
    """Return the statements that make the views over the lake in `root`.

    Shape: `silence` says when an open run is orphaned, by default the rule that holds everywhere.
    """
    return _views_sql(root, "*", silence or SilenceRule())


def listed_views_sql(root: LakePath) -> str:
    """Return the statements that make the views over the files that `listing_sql` listed last.

    So a query lists them once, and opens no others however many there are.
    """
    return _views_sql(root, SCHEMA_FOLDER, SilenceRule()) + _OVER_LISTED_FILES


def _views_sql(root: LakePath, topics: str, rule: SilenceRule) -> str:
    states = states_root(root.absolute(), serving_set(root).name)
    parts = (files("runfold.sinks").joinpath(name) for name in (VIEWS_FILE, _PAST_FILE))
    return "\n".join(part.read_text("utf-8") for part in parts).format(
        root=without_globs(root.absolute()).replace("'", "''"),
        states_root=without_globs(states).replace("'", "''"),
        topics=topics,
        event_columns=duckdb_columns(lake_event_schema()),
        state_columns=duckdb_columns(lake_state_schema()),
        with_heartbeats_ms=rule.with_heartbeats // _MILLISECOND,
        without_heartbeats_ms=rule.without_heartbeats // _MILLISECOND,
        **fold_words(),
    )


_OVER_LISTED_FILES = """
reset dynamic_or_filter_threshold;
create or replace view lake_event_files as
select unnest(getvariable('event_files'), max_depth := 2);
create or replace view lake_state_files as
select unnest(getvariable('state_files'), max_depth := 2);
create or replace macro lake_event_paths() as getvariable('event_paths');
create or replace macro lake_state_paths() as getvariable('state_paths');
"""


def listing_sql(root: LakePath) -> str:
    """Return the statements that list the files to read of the lake in `root`."""
    events = root.absolute()
    states = states_root(events, serving_set(root).name)
    return "".join(
        f"""
set variable {kind}_files =
    (select list(f) from lake_files_to_read('{_quoted(without_globs(top))}/*/{files}') as f);
set variable {kind}_paths = list_transform(
    list_concat(['{_quoted(str(top / empty))}'],
                list_transform(coalesce(getvariable('{kind}_files'), []), lambda f: f.file)),
    lambda path: regexp_replace(path, '([*?\\[])', '[\\1]', 'g'));
"""
        for kind, top, files, empty in (
            ("event", events, "events/date=*/hour=*/*.parquet", EMPTY_EVENTS),
            ("state", states, "states/*.parquet", EMPTY_STATES),
        )
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def without_globs(path: LakePath) -> str:
    """Return `path` as DuckDB takes it where it would take a pattern."""
    return _GLOB_CHARACTERS.sub(r"[\1]", str(path))


def prepare_lake(root: LakePath) -> None:
    """Put `views.sql` and files of no rows into a lake, so that an empty one has its columns too.

    Delivery: safe to repeat. Raises: LakeUnavailable.
    """
    _write_changed(root / EMPTY_EVENTS, _no_rows(lake_event_schema()))
    prepare_states(root)
    prepare_states(states_root(root, serving_set(root).name))
    _write_changed(root / VIEWS_FILE, views_sql(root).encode())


def prepare_states(root: LakePath) -> None:
    """Put a file of no rows beside the states below `root`. Raises: LakeUnavailable."""
    _write_changed(root / EMPTY_STATES, _no_rows(lake_state_schema()))


def duckdb_columns(schema: pa.Schema) -> str:
    """Return `schema` as the entries of the map that DuckDB's `read_parquet` takes."""
    return ",\n".join(
        f"    '{field.name}': {{name: '{field.name}', type: '{_duckdb_type(field.type)}',"
        " default_value: null}"
        for field in schema
    )


def _duckdb_type(arrow_type: pa.DataType) -> str:
    if pa.types.is_list(arrow_type):
        return f"{_duckdb_type(arrow_type.value_type)}[]"
    if pa.types.is_struct(arrow_type):
        fields = (f'"{field.name}" {_duckdb_type(field.type)}' for field in arrow_type)
        return f"struct({', '.join(fields)})"
    return _DUCKDB_TYPES[arrow_type]


def _write_changed(path: LakePath, content: bytes) -> None:
    with lake_errors(path, "read"):
        try:
            unchanged = at(path).read() == content
        except FileNotFoundError:
            unchanged = False
    if not unchanged:
        write_file(path, content)


def _no_rows(schema: pa.Schema) -> bytes:
    stream = io.BytesIO()
    pq.write_table(schema.empty_table(), stream)
    return stream.getvalue()
