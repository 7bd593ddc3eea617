"""The parameters by which runs are listed."""

from __future__ import annotations

import re

from fastapi import Request

from runfold.producers.collector.problems import Problem
from runfold.producers.collector.runs_api.queries import RunFilter
from runfold.producers.collector.runs_api.rows import instant_of
from runfold.producers.compat.local_telemetry.status import CANONICAL_STATUSES, normalize_status

_TIMES = ("created_before", "created_after", "start_time_from", "start_time_to")
_PLUS_READ_AS_BLANK = re.compile(r" (\d\d:?\d\d)$")
_NO_TIME = -(1 << 63)


def filter_of(request: Request) -> RunFilter:
    """Return what is asked for; parameters without a value are ignored. Raises: Problem 400."""
    given = {name: value for name, value in request.query_params.items() if value}
    status = given.get("status")
    if status is not None:
        status = normalize_status(status)
        if status not in CANONICAL_STATUSES:
            raise Problem(400, f"Invalid status. Must be one of: {CANONICAL_STATUSES}")
    return RunFilter(
        agent_name=given.get("agent_name"),
        status=status,
        job_type=given.get("job_type"),
        **{name: _instant(name, given[name]) for name in _TIMES if name in given},
    )


def _instant(name: str, text: str) -> int:
    """Return a time in microseconds since 1970 UTC. Raises: Problem 400."""
    found = instant_of(text, _NO_TIME)
    if found == _NO_TIME:  # `+` in an address stands for a blank
        found = instant_of(_PLUS_READ_AS_BLANK.sub(r"+\1", text), _NO_TIME)
    if found == _NO_TIME:
        raise Problem(400, f"Invalid ISO8601 timestamp for {name}: {text!r}")
    return found
