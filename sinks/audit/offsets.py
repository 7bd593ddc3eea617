"""Whether every offset of the log is in the lake: holes, what is cut off, what is to come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runfold.schemas.offsets import LogPartition, OffsetRange, Tiling
from runfold.sinks.audit.coverage import Coverage, Listing, Place, at, where
from runfold.sinks.audit.report import Facts, Finding, KnownLog
from runfold.sinks.lake_files import LakeFile


def check_offsets(coverage: Coverage, log: KnownLog | None) -> Iterator[Finding]:
    """Yield each range of offsets that is not in the lake and should be."""
    for place in coverage.places:
        bounds = log.bounds_of(place.log) if log else None
        first = place.first if bounds is None else min(place.first, bounds[0])
        for kind, tiling in (("events", place.events), ("states", place.states)):
            for hole in _holes(tiling, first, place.end):
                yield _hole(place.log, kind, hole, bounds)
        if bounds is not None and bounds[0] > place.end:
            yield _cut_off(place.log, OffsetRange(place.end, bounds[0] - 1))
        if bounds is not None and bounds[1] < place.end:
            yield _ahead(place.log, OffsetRange(bounds[1], place.end - 1))


def notes(listing: Listing, coverage: Coverage, facts: Facts) -> Iterator[Finding]:
    """Yield what is no mistake and worth knowing."""
    for path in listing.strangers:
        says = f"{path} is ignored: its name is no offset range"
        yield Finding("ignored_file", says, {"file": str(path)})
    for path in listing.set_aside:
        says = f"{path} was set aside by a worker: it is damaged"
        yield Finding("set_aside", says, {"file": str(path)})
    for each in coverage.inspected:
        if each.lost and each.contents is not None:
            says = f"{each.file.path}: {each.lost:,} records were accepted as lost"
            yield Finding("accepted_loss", says, where(each.file) | {"records": each.lost})
        if each.expired:
            says = (
                f"partition {each.file.log.partition}: {each.expired:,} records up to offset "
                f"{each.file.range.last} were removed by age"
            )
            yield Finding("expired", says, where(each.file) | {"records": each.expired})
        if each.erased:
            says = f"{each.file.path}: {each.erased:,} records were erased"
            yield Finding("erased", says, where(each.file) | {"records": each.erased})
    for place in coverage.places:
        if place.first > 0:
            says = f"partition {place.log.partition} begins at offset {place.first} in the lake"
            yield Finding("begins_late", says, at(place.log, OffsetRange(0, place.first - 1)))
    for partition, records in sorted(lag(coverage.places, facts.log).items()):
        if records:
            says = f"partition {partition}: {records:,} records are in the log, not in the lake yet"
            yield Finding("lag", says, {"partition": partition, "records": records})
    if facts.log is None:
        says = f"the lake is judged without the log: {facts.log_unknown}"
        yield Finding("log_unknown", says, {})


def lag(places: Iterable[Place], log: KnownLog | None) -> dict[int, int]:
    """Return how many records of each partition are in the log and not in the lake."""
    if log is None:
        return {}
    ends = {each.log.partition: each.end for each in places if each.log.topic_id == log.topic_id}
    return {
        partition: max(0, following - max(ends.get(partition, 0), log.first_offsets[partition]))
        for partition, following in log.next_offsets.items()
    }


def _holes(tiling: Tiling[LakeFile], first: int, end: int) -> Iterator[OffsetRange]:
    """Yield what no tile covers from `first` on and before `end`."""
    covered = first
    for each in tiling.tiles:
        if each.range.first > covered and covered < end:
            yield OffsetRange(covered, min(each.range.first, end) - 1)
        covered = max(covered, each.range.next_offset)
    if covered < end:
        yield OffsetRange(covered, end - 1)


def _hole(
    log: LogPartition, kind: str, hole: OffsetRange, bounds: tuple[int, int] | None
) -> Finding:
    held = None if bounds is None else bounds[0] <= hole.first
    still = {
        None: "",
        True: "; the log still holds them, a worker that starts anew derives them again",
        False: "; the log does not hold all of them any more",
    }[held]
    says = (
        f"partition {log.partition} of {log.topic_id}: no {kind} file holds offsets {hole} "
        f"({len(hole):,} records){still}"
    )
    facts = {"files": kind, "records": len(hole), "in_log": held}
    return Finding("hole", says, at(log, hole) | facts)


def _cut_off(log: LogPartition, gone: OffsetRange) -> Finding:
    says = (
        f"partition {log.partition} of {log.topic_id}: the log was cut off beyond the lake, "
        f"offsets {gone} ({len(gone):,} records) are in neither"
    )
    return Finding("cut_off", says, at(log, gone) | {"records": len(gone)})


def _ahead(log: LogPartition, offsets: OffsetRange) -> Finding:
    says = (
        f"partition {log.partition} of {log.topic_id}: the lake holds offsets {offsets}, "
        "which the log has never given"
    )
    return Finding("lake_ahead", says, at(log, offsets) | {"records": len(offsets)})
