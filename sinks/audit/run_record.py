"""What is missing of one run, and what became of it, as far as the lake knows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta

from runfold.schemas.event_ids import split_minted_id
from runfold.schemas.offsets import OffsetRange, runs_of, without
from runfold.schemas.vocabulary import DROPPED_EVENT
from runfold.sinks.audit.accounts import Evidence, account
from runfold.sinks.audit.drops import read_drop
from runfold.sinks.audit.report import Account
from runfold.sinks.audit.sender_numbers import sender_holes
from runfold.sinks.lake_files import REMAINS_DATE, WHOLE_DAY
from runfold.sinks.query import LakeQueries

_REMAINS_DAY = REMAINS_DATE.removeprefix("date=")
_DAYS = f"(date between ? and ? or date = date '{_REMAINS_DAY}')"
"""What is left of events that were removed by age has a day of its own."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Numbers of one producer that are not stored, both included."""

    producer: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """How complete the record of a run is.

    Shape: of `missing` events so many are dead letters, were declared as dropped by their client,
    or may be dead letters that do not tell their ids; of the rest nothing is known. `expired`
    events were counted, and removed by age since. `sender_holes` are numbers of a foreign sender,
    which counts by itself, between those that came.
    """

    missing: int
    dead_letters: int
    declared_dropped: int
    unidentified: int
    expired: int
    holes: list[Hole]
    sender_holes: list[OffsetRange]


def run_record(lake: LakeQueries, run_id: str, days: tuple[date, date]) -> RunRecord:
    """Return what the lake knows to be missing of a run.

    Shape: `days` are those in which the log took the run's events; a day around them is looked at.
    """
    evidence: dict[str, Evidence] = defaultdict(Evidence)
    for seen in lake.rows("select seen from lake_states where run_id = ?", [run_id]):
        for each in seen["seen"]:
            bounds = zip(each["bounds"][::2], each["bounds"][1::2], strict=True)
            evidence[each["producer"]].stored = [OffsetRange(*pair) for pair in bounds]
    span = [run_id, days[0] - timedelta(days=1), days[1] + timedelta(days=1)]
    unidentified = _add_dead_letters(lake, evidence, span)
    _add_declared(lake, evidence, span)
    accounts = [account(run_id, name, each, unread=0) for name, each in sorted(evidence.items())]
    nowhere = sum(each.missing for each in accounts)
    return RunRecord(
        missing=sum(each.emitted - each.stored for each in accounts),
        dead_letters=sum(each.dead_letters for each in accounts),
        declared_dropped=sum(each.declared_dropped for each in accounts),
        unidentified=min(nowhere, unidentified),
        expired=_expired(lake, span),
        holes=[hole for each in accounts for hole in _holes(each, evidence[each.producer])],
        sender_holes=sender_holes(lake, run_id, days),
    )


def _expired(lake: LakeQueries, span: list[object]) -> int:
    """Return how many events of a run the state has counted, and the lake no longer holds."""
    remains = lake.rows(
        "select states.topic_id, any_value(states.events) as events from lake_states as states "
        "join lake_event_files as files on files.topic_id = states.topic_id "
        f"and files.file like '%/{REMAINS_DATE}/{WHOLE_DAY}/%' and files.last >= first_offset "
        "where states.run_id = ? group by all",
        span[:1],
    )
    expired = 0
    for log in remains:
        [stored] = lake.rows(
            f"select count(*) as events from events where run_id = ? and {_DAYS} and topic_id = ?",
            [*span, log["topic_id"]],
        )
        expired += max(0, log["events"] - stored["events"])
    return expired


def _add_dead_letters(lake: LakeQueries, evidence: dict[str, Evidence], span: list[object]) -> int:
    """Add the dead letters of a run; return how many do not tell their ids."""
    dead: dict[str, set[int]] = defaultdict(set)
    unidentified = 0
    for letter in lake.rows(
        "select event_id from lake_rows where dead_letter_reason is not null "
        f"and run_id = ? and {_DAYS}",
        span,
    ):
        minted = split_minted_id(letter["event_id"] or "")
        if minted is None:
            unidentified += 1
        else:
            dead[minted[0]].add(minted[1])
    for producer, numbers in dead.items():
        evidence[producer].dead_letters = list(runs_of(sorted(numbers)))
    return unidentified


def _add_declared(lake: LakeQueries, evidence: dict[str, Evidence], span: list[object]) -> None:
    for said in lake.rows(
        f"select run_id, attributes from events where run_id = ? and {_DAYS} "
        f"and event_type = 'custom' and name = '{DROPPED_EVENT}'",
        span,
    ):
        drop = read_drop(said["run_id"], said["attributes"])
        if drop is not None:
            evidence[drop.producer].declared += [OffsetRange(*each) for each in drop.ranges]


def _holes(each: Account, evidence: Evidence) -> list[Hole]:
    emitted = [OffsetRange(1, each.emitted)] if each.emitted else []
    holes = without(emitted, evidence.stored)
    return [Hole(each.producer, hole.first, hole.last) for hole in holes]
