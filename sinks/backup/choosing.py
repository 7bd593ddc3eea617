"""Which files of a lake make a backup: those that are read, and notes; none that is made anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from runfold.schemas.offsets import LogPartition, tile
from runfold.sinks.backup.manifest import KeptLog
from runfold.sinks.compaction.whole_lake import tops
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import (
    SCHEMA_FOLDER,
    SET_ASIDE_FOLDER,
    Kind,
    LakeFile,
    list_whole_lake,
    parse_file_name,
)
from runfold.sinks.object_path import LakePath
from runfold.sinks.state_sets import serving_set, states_root
from runfold.sinks.storage import at
from runfold.sinks.views import VIEWS_FILE


def choose_files(root: LakePath) -> tuple[list[LakePath], list[KeptLog]]:
    """Return the files of the lake in `root` that a backup needs, and how far each log is.

    Shape: of files that cover each other those that readers take. States are listed before
    events, which a worker writes first: so there are events for all that the states say.
    Raises: LakeUnavailable.
    """
    with lake_errors(root, "list"):
        listed = {top: list_whole_lake(top, Kind.STATES)[0] for top in tops(root)}
        events = list_whole_lake(root, Kind.EVENTS)[0]
        everything = [each for _, files in at(root).walk() for each in files]
        chosen = [*_read(events), *(each for files in listed.values() for each in _read(files))]
    notes = (each for each in everything if _is_note(relative(root, each).split("/")))
    serving = listed.get(states_root(root, serving_set(root).name), [])
    return [*(each.path for each in chosen), *notes], list(_logs(events, serving))


def relative(root: LakePath, path: LakePath) -> str:
    """Return the path of a file of the lake in `root`, below it, with slashes."""
    return str(path).removeprefix(str(root)).lstrip("/")


def _is_note(parts: list[str]) -> bool:
    """Tell whether a file is no data, no temporary one, and not made anew by who opens the lake."""
    is_data = parse_file_name(parts[-1]) is not None and SET_ASIDE_FOLDER not in parts
    is_made_anew = SCHEMA_FOLDER in parts or parts == [VIEWS_FILE]
    return not (is_data or is_made_anew or parts[-1].startswith("."))


def _by_log(files: Iterable[LakeFile]) -> dict[LogPartition, list[LakeFile]]:
    grouped: dict[LogPartition, list[LakeFile]] = defaultdict(list)
    for each in files:
        grouped[each.log].append(each)
    return grouped


def _read(files: Iterable[LakeFile]) -> list[LakeFile]:
    """Return those that tile their logs; of one set of states, or of the events."""
    grouped = _by_log(files)
    return [each.source for log in sorted(grouped) for each in tile(grouped[log]).tiles]


def _logs(events: Iterable[LakeFile], states: Iterable[LakeFile]) -> Iterable[KeptLog]:
    states_of = _by_log(states)
    for log, files in sorted(_by_log(events).items()):
        first = min(each.range.first for each in files)
        events_end = max(each.range.next_offset for each in files)
        states_end = max((each.range.next_offset for each in states_of[log]), default=first)
        yield KeptLog(log.topic_id, log.partition, first, events_end, states_end)
