"""Trace and span ids of runs, and how they cross to another process.

Source: W3C Trace Context, the header `traceparent`, as an environment variable.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from typing import NamedTuple

from runfold.producers.context import Place, current_place
from runfold.producers.debug import explain
from runfold.producers.tame import is_id, tame_id

PARENT_RUN = "RUNFOLD_PARENT_RUN"
TRACEPARENT = "TRACEPARENT"

_traceparent = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?",
    re.ASCII,
).fullmatch


class Origin(NamedTuple):
    """What started this process, as far as it said so."""

    run_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


def origin_of_process() -> Origin:
    """Return what RUNFOLD_PARENT_RUN and TRACEPARENT say; a malformed one is as good as none."""
    text = os.environ.get(TRACEPARENT, "").strip()
    found = _traceparent(text)
    if found is None or (text.startswith("00") and len(text) != len("00--00-") + 48):
        if text:
            explain(f"{TRACEPARENT} is malformed and ignored: {text[:100]!r}")
        found = None
    run_id = os.environ.get(PARENT_RUN) or None
    if run_id is not None and not is_id(run_id):
        explain(f"{PARENT_RUN} is no id of a run and ignored: {run_id[:100]!r}")
        run_id = None
    return Origin(run_id, *(found.groups() if found is not None else ()))


def trace_id_of(run_id: str) -> str:
    """Return the trace id of a run that begins a trace; the same wherever it is asked for."""
    if _is_minted(run_id):
        return f"000000000000{run_id}"
    return _digest(run_id, 16)


def span_id_of(run_id: str) -> str:
    """Return the id of the span that a run itself is."""
    if _is_minted(run_id):
        return run_id[4:]
    return _digest(run_id, 8)


def traced_into(outer: str | None, origin: Origin) -> dict[str, str]:
    """Return the trace of a run that starts, and the span in its parent where it is known.

    Shape: the trace is that of the place where the run is started, else that of the process, else
    its parent's. What `trace_id_of` and `span_id_of` tell of the run itself is left out.
    """
    place = current_place.get()
    if place is not None and place.run_id == outer:
        return {
            "trace_id": place.trace_id,
            "parent_span_id": place.span_id or span_id_of(place.run_id),
        }
    if origin.trace_id is None or origin.span_id is None:
        return {"trace_id": trace_id_of(outer or "")}
    inherited = {"trace_id": origin.trace_id}
    return {**inherited, "parent_span_id": origin.span_id} if outer == origin.run_id else inherited


def environment_of(place: Place) -> dict[str, str]:
    """Return the variables that tell a child process where it was started."""
    run_id = tame_id(place.run_id)
    given = f"00-{place.trace_id}-{place.span_id or span_id_of(run_id)}-01"
    trace = given if _traceparent(given) else f"00-{trace_id_of(run_id)}-{span_id_of(run_id)}-01"
    if "\0" in run_id:
        explain("a run whose id holds a NUL cannot be named in an environment")
        return {TRACEPARENT: trace}
    return {PARENT_RUN: run_id, TRACEPARENT: trace}


def _is_minted(run_id: str) -> bool:
    return len(run_id) == 20 and not run_id.strip("0123456789abcdef")


def _digest(run_id: str, size_bytes: int) -> str:
    return blake2b(run_id.encode("utf-8", "backslashreplace"), digest_size=size_bytes).hexdigest()
