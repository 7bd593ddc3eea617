"""Whether the states are what the events add up to, and no event is stored twice in a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runfold.sinks.audit.report import Finding
from runfold.sinks.audit.tables import COUNTERS, AuditTables

COMPARED = ("ids", "first_offset", "last_offset", *COUNTERS)
_MOST_OFFSETS = 10

_DIFFERENT = f"""
select coalesce(states.place, sums.place), coalesce(states.run_id, sums.run_id), states.file,
       {", ".join(f"states.{name}, sums.{name}" for name in COMPARED)}
from (from newest_states where not is_kept) as states
full join (from run_sums anti join (from newest_states where is_kept) using (place, run_id)) as sums
  on states.place = sums.place and states.run_id = sums.run_id
where {" or ".join(f"states.{name} is distinct from sums.{name}" for name in COMPARED)}
order by all
"""
_TWICE_MINTED = "select distinct place, run_id from words where events > bit_count(bits)"
_TWICE_FOREIGN = """
select distinct place, run_id from (
    select place, run_id, hash(event_id) from event_rows
    where dead_letter_reason is null and minted.producer = '' and {scope}
    group by all having count(*) > 1
)
"""
_TWICE = """
select place, run_id, event_id, list("offset" order by "offset")
from event_rows semi join suspects using (place, run_id)
where dead_letter_reason is null
group by all having count(*) > 1 order by all
"""


def compare_states(tables: AuditTables) -> Iterator[Finding]:
    """Yield each run whose newest state is not what its events add up to."""
    for place, run_id, file, *pairs in tables.rows(_DIFFERENT):
        log = tables.places[place].log
        facts: dict[str, Any] = {
            "run_id": run_id,
            "topic_id": log.topic_id,
            "partition": log.partition,
        }
        said = dict(zip(COMPARED, zip(pairs[::2], pairs[1::2], strict=True), strict=True))
        if file is None:
            says = f"run {run_id} has {said['events'][1]:,} events and no state"
            yield Finding("no_state", says, facts | {"events": said["events"][1]})
        elif said["events"][1] is None:
            says = f"run {run_id} has a state of {said['events'][0]:,} events, and no event"
            yield Finding("no_events", says, facts | {"file": file, "events": said["events"][0]})
        else:
            yield _different(run_id, said, facts | {"file": file})


def _different(run_id: str, said: dict[str, tuple[int, int]], facts: dict[str, Any]) -> Finding:
    fields = {
        name: {"state": state, "events": events}
        for name, (state, events) in said.items()
        if state != events
    }
    words = ", ".join(
        f"{name} {each['state']:,} instead of {each['events']:,}" for name, each in fields.items()
    )
    says = f"run {run_id}: its state is not what its events add up to: {words} ({facts['file']})"
    return Finding("state_differs", says, facts | {"fields": fields})


def stored_twice(tables: AuditTables) -> Iterator[Finding]:
    """Yield each event id that a run has more than once in one partition of a log."""
    suspects = _TWICE_MINTED
    if tables.one("select count(*) from words where word is null"):
        suspects += f" union {_TWICE_FOREIGN.format(scope=tables.scope)}"
    tables.rows(f"create temp table suspects as {suspects}")
    if not tables.one("select count(*) from suspects"):
        return
    for place, run_id, event_id, offsets in tables.rows(_TWICE):
        log = tables.places[place].log
        shown = ", ".join(map(str, offsets[:_MOST_OFFSETS]))
        says = (
            f"run {run_id}: event {event_id} is stored {len(offsets)} times, "
            f"partition {log.partition}, offsets {shown}"
        )
        facts = {
            "run_id": run_id,
            "event_id": event_id,
            "topic_id": log.topic_id,
            "partition": log.partition,
            "offsets": offsets,
        }
        yield Finding("stored_twice", says, facts)


def count_checked(tables: AuditTables) -> dict[str, int]:
    """Return how many runs and events were looked at."""
    [(runs, events)] = tables.rows(
        "select count(distinct run_id), coalesce(sum(events), 0)::bigint from run_sums"
    )
    return {"runs": runs, "events": events}
