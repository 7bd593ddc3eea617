"""The ledger: for each producer, emitted = stored + dead letters + dropped + in a journal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from runfold.schemas.event_ids import split_minted_id
from runfold.schemas.offsets import OffsetRange, merge_ranges, runs_of
from runfold.schemas.vocabulary import DROPPED_EVENT
from runfold.sinks.audit.accounts import Evidence, account, ranges_text
from runfold.sinks.audit.drops import read_drop
from runfold.sinks.audit.offsets import lag
from runfold.sinks.audit.report import Account, Facts, Finding, Scope
from runfold.sinks.audit.tables import AuditTables

SUMMED = (
    *("emitted", "stored", "expired", "dead_letters", "declared_dropped", "in_journals", "in_log"),
    *("unidentified", "missing"),
)
_PRODUCERS = """
create temp table producers as
with joined as (  -- a run whose topic was made anew has a producer's numbers in two logs
    select run_id, producer, word, bit_or(bits) as bits, max(last_sequence) as last_sequence,
           min(place) as place
    from words where word is not null group by all
)
select run_id, producer, sum(bit_count(bits))::bigint as stored,
       max(last_sequence) as last_sequence, min(place) as place
from joined group by all
"""
_DEAD_LETTERS = """
select run_id, event_id from (
    select coalesce(producers.run_id, event_rows.run_id) as run_id, event_id
    from event_rows left join producers on producers.producer = event_rows.minted.producer
    where dead_letter_reason is not null
) where {scope}
"""
_DECLARED = """
select run_id, attributes from event_rows
where event_type = 'custom' and name = '{dropped}' and dead_letter_reason is null and {scope}
"""
_DOUBTFUL = """
create temp table doubtful as
select run_id, producer, place from producers
where stored <> last_sequence or {everything}
   or exists (from known where known.run_id = producers.run_id
                           and known.producer = producers.producer)
"""
_DOUBTFUL_WORDS = """
select run_id, producer, word, bit_or(bits) from words join doubtful using (run_id, producer)
group by all order by all
"""
_KEPT = """
with asked as (select run_id, producer from known union select run_id, producer from doubtful)
select run_id, producer, bounds
from (select run_id, unnest(seen, max_depth := 2) from newest_states where is_kept)
semi join asked using (run_id, producer)
"""

Key = tuple[str, str]


@dataclass(slots=True)
class _Elsewhere:
    """What is known of events that are not stored, by run and producer.

    Shape: `unidentified` counts dead letters of a run that do not tell which event they are;
    `of_no_run` those that do not even tell the run.
    """

    evidence: dict[Key, Evidence] = field(default_factory=lambda: defaultdict(Evidence))
    unidentified: Counter[str] = field(default_factory=Counter)
    of_no_run: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """The sums over all producers, and the accounts that are not wholly stored."""

    sums: dict[str, int]
    accounts: list[Account]


def draw_up(tables: AuditTables, facts: Facts, scope: Scope) -> Ledger:
    """Draw up the ledger of the runs in `scope`. Raises: LakeUnavailable, LakeCorrupt."""
    tables.rows(_PRODUCERS)
    elsewhere = _elsewhere(tables, facts, scope)
    places = _complete(elsewhere, tables, everything=scope.run_id is not None)
    unread = _Unread(tables, facts)
    accounts = [
        account(run_id, producer, evidence, unread=unread.of(places.get((run_id, producer))))
        for (run_id, producer), evidence in sorted(elsewhere.evidence.items())
    ]
    accounts = list(_explained(accounts, elsewhere.unidentified))
    return Ledger(_sums(tables, accounts, elsewhere), accounts)


def missing_events(accounts: Iterable[Account]) -> Iterator[Finding]:
    """Yield the producers of which events are missing, with the numbers."""
    for each in accounts:
        if each.missing:
            ranges = [list(bounds) for bounds in each.nowhere]
            nowhere = each.missing + each.unidentified
            says = (
                f"run {each.run_id}: {nowhere:,} of {each.emitted:,} events of {each.producer} "
                f"are nowhere: {ranges_text(each.nowhere)}"
            )
            if each.unidentified:
                says += f"; up to {each.unidentified:,} of them may be dead letters without an id"
            facts = {"run_id": each.run_id, "producer": each.producer, "ranges": ranges}
            counts = {name: getattr(each, name) for name in SUMMED}
            yield Finding("missing_events", says, facts | counts)


class _Unread:
    """How many records of a partition's log are not in the lake."""

    def __init__(self, tables: AuditTables, facts: Facts) -> None:
        self._places = tables.places
        self._log = facts.log
        self._lag = lag(tables.places, facts.log)

    def of(self, place: int | None) -> int | None:
        """Return it for a place, for all partitions where a run has none; None: not known."""
        if self._log is None:
            return None
        if place is None:
            return sum(self._lag.values())
        log = self._places[place].log
        return self._lag.get(log.partition, 0) if log.topic_id == self._log.topic_id else 0


def _elsewhere(tables: AuditTables, facts: Facts, scope: Scope) -> _Elsewhere:
    found = _Elsewhere()
    for run_id, ids in facts.waiting.items():
        if scope.run_id in (None, run_id):
            for producer in ids.ranges:
                found.evidence[run_id, producer].waiting += ids.ranges_of(producer)
    declared = tables.rows(_DECLARED.format(dropped=DROPPED_EVENT, scope=tables.scope))
    stored = (read_drop(run_id, attributes) for run_id, attributes in declared)
    for drop in (*filter(None, stored), *facts.drops):
        if scope.run_id in (None, drop.run_id):
            ranges = [OffsetRange(*bounds) for bounds in drop.ranges]
            found.evidence[drop.run_id, drop.producer].declared += ranges
    _add_dead_letters(found, tables.rows(_DEAD_LETTERS.format(scope=tables.scope)))
    return found


def _add_dead_letters(found: _Elsewhere, letters: list[tuple[Any, ...]]) -> None:
    dead: dict[Key, set[int]] = defaultdict(set)
    for run_id, event_id in letters:
        minted = split_minted_id(event_id or "")
        if run_id is None:
            found.of_no_run += 1
        elif minted is None:
            found.unidentified[run_id] += 1
        else:
            dead[run_id, minted[0]].add(minted[1])
    for of_producer, numbers in dead.items():
        found.evidence[of_producer].dead_letters += runs_of(sorted(numbers))


def _complete(elsewhere: _Elsewhere, tables: AuditTables, *, everything: bool) -> dict[Key, int]:
    """Add what is stored of the producers that are not wholly stored; return their places."""
    columns = zip(*elsewhere.evidence, strict=True) if elsewhere.evidence else ((), ())
    arrays = [pa.array(column, pa.string()) for column in columns]
    tables.give("known", pa.table(arrays, names=["run_id", "producer"]))
    tables.rows(_DOUBTFUL.format(everything=everything))
    numbers: dict[Key, list[OffsetRange]] = defaultdict(list)
    for run_id, producer, word, bits in tables.rows(_DOUBTFUL_WORDS):
        numbers[run_id, producer] += _numbers_in(word, bits)
    for of_producer, stored in numbers.items():
        elsewhere.evidence[of_producer].stored = merge_ranges(stored)
    for run_id, producer, bounds in tables.rows(_KEPT):
        pairs = zip(bounds[::2], bounds[1::2], strict=True)
        evidence = elsewhere.evidence[run_id, producer]
        evidence.expired = [OffsetRange(*pair) for pair in pairs]
    doubtful = tables.rows("select run_id, producer, place from doubtful")
    return {(run_id, producer): place for run_id, producer, place in doubtful}


_FULL_WORD = (1 << 64) - 1


def _numbers_in(word: int, bits: int) -> Iterator[OffsetRange]:
    if bits == _FULL_WORD:
        yield OffsetRange(word * 64, word * 64 + 63)
    else:
        yield from runs_of([word * 64 + bit for bit in range(64) if bits >> bit & 1])


def _explained(accounts: Iterable[Account], unidentified: Counter[str]) -> Iterator[Account]:
    """Let a run's dead letters without ids stand for as many of its missing events."""
    left = Counter(unidentified)
    for each in accounts:
        explained = min(each.missing, left[each.run_id])
        left[each.run_id] -= explained
        yield replace(each, unidentified=explained, missing=each.missing - explained)


def _sums(tables: AuditTables, accounts: list[Account], elsewhere: _Elsewhere) -> dict[str, int]:
    [(whole, producers)] = tables.rows(
        "select coalesce(sum(stored), 0)::bigint, count(*) from producers "
        "anti join doubtful using (run_id, producer)"
    )
    sums = {name: sum(getattr(each, name) for each in accounts) for name in SUMMED}
    sums["emitted"] += whole
    sums["stored"] += whole
    return sums | {
        "stored_with_foreign_ids": tables.one(
            "select coalesce(sum(events), 0)::bigint from words where word is null"
        ),
        "dead_letters_without_id": elsewhere.unidentified.total(),
        "dead_letters_of_no_run": elsewhere.of_no_run,
        "producers": producers + len(accounts),
    }
