"""Finding out where the derived data of a partition ends, and what of it can be relied upon."""

from __future__ import annotations

from runfold.schemas.errors import LakeCorrupt
from runfold.schemas.lake import ResumePoint
from runfold.schemas.offsets import LogPartition, Tiling, tile
from runfold.schemas.past_runs import PastRuns
from runfold.sinks.file_labels import check_labels
from runfold.sinks.lake_errors import lake_errors, listing_again
from runfold.sinks.lake_files import Kind, LakeFile, list_files, tidy
from runfold.sinks.object_path import LakePath
from runfold.sinks.set_aside import reading
from runfold.sinks.stored_states import runs_in


def resume_point(root: LakePath, states_root: LakePath, log: LogPartition) -> ResumePoint:
    """Return where `log` is to be continued. See `LakeStore.resume`.

    Shape: the events lie in the lake in `root`, the states in that in `states_root`, mostly `root`.
    """
    with lake_errors(root, "list"):
        for each in {root, states_root}:
            tidy(each, log)
    while True:
        try:
            return listing_again(lambda: _resume_point(root, states_root, log))
        except LakeCorrupt:  # the damaged file has been set aside: one file less each time
            continue


def _resume_point(root: LakePath, states_root: LakePath, log: LogPartition) -> ResumePoint:
    with lake_errors(root, "list"):
        events = list_files(root, log, Kind.EVENTS)
        states = list_files(states_root, log, Kind.STATES)
        damaged = list_files(root, log, Kind.EVENTS, set_aside=True)
    if not events:
        return ResumePoint(None, None, None, PastRuns())
    first = min(each.range.first for each in (*events, *damaged))  # damage leaves a hole
    events_end = _checked(root, tile(events)).contiguous_from(first)
    usable = tile(each for each in states if each.range.last < events_end)
    beginning = min([first, *(each.range.first for each in usable.tiles)])
    end = usable.contiguous_from(beginning)
    chosen = tuple(each for each in usable.tiles if each.range.last < end)
    _checked(states_root, Tiling(chosen, ()))
    runs = runs_in(states_root, [each.source for each in chosen])
    return ResumePoint(min(first, end), end, events_end, runs)


def _checked(root: LakePath, tiling: Tiling[LakeFile]) -> Tiling[LakeFile]:
    for each in tiling.tiles:
        with reading(root, each.source):
            check_labels(each.source)
    return tiling
