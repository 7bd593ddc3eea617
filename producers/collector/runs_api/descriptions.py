"""The bodies that the runs API takes, as `/openapi.json` describes them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from runfold.producers.collector.descriptions import Content, Schema, schema_of, takes
from runfold.producers.collector.runs_api.models import MadeCommit, NewRun, RunChange

_RUN = {
    "event_id": "9a1c",
    "run_id": "crawl-1",
    "agent_name": "crawler",
    "job_type": "crawl",
    "start_time": "2026-01-31T12:00:00Z",
}


def _body(schema: Schema, example: Any) -> dict[str, Any]:
    return takes(Content("application/json", schema, example))


def _one_or_the_other_form() -> Schema:
    runs = {"type": "array", "items": schema_of(TypeAdapter(NewRun))}
    wrapped = {"type": "object", "required": ["runs"], "properties": {"runs": runs}}
    return {"anyOf": [runs, wrapped]}


NEW_RUN = _body(schema_of(TypeAdapter(NewRun)), _RUN)
NEW_RUNS = _body(_one_or_the_other_form(), [_RUN])
CHANGE = _body(
    schema_of(TypeAdapter(RunChange)), {"status": "success", "end_time": "2026-01-31T12:05:00Z"}
)
COMMIT = _body(
    schema_of(TypeAdapter(MadeCommit)), {"commit_hash": "0a1b2c3", "commit_source": "manual"}
)
