"""The files of the lake: their names, their places and how they are listed.

```
<root>/<topic id>/events/date=2026-11-21/hour=07/p03-000000001200-000000001899.parquet
<root>/<topic id>/events/date=2026-11-20/hour=all/p03-000000000000-000000001199.parquet
<root>/<topic id>/events/date=1970-01-01/hour=all/p03-000000000000-000000000899.parquet
<root>/<topic id>/states/p03-000000001200-000000001899.parquet
```

The one of 1970 stands for events that were removed by age.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import structlog

from runfold.schemas.errors import ConfigurationError, LakeUnavailable
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at

SUFFIX = ".parquet"
HOUR_US = 3_600_000_000
_LAST_HOUR = int(datetime(9999, 12, 31, 23, tzinfo=UTC).timestamp()) // 3600
SCHEMA_FOLDER = "_schema"
"""Beside the topic ids: files of no rows, which give the views their columns."""
WHOLE_DAY = "hour=all"
"""Holds what was merged from several hours of a day."""
REMAINS_DATE = "date=1970-01-01"
"""Its whole-day folder holds what is left of events that were removed by age, see `retention`."""
SET_ASIDE_FOLDER = "set-aside"
"""Beside `events` and `states` of a log: damaged files, which nothing reads."""

_FILE_NAME = re.compile(r"^p([0-9]{2,9})-([0-9]{12,18})-([0-9]{12,18})\.parquet$", re.ASCII)
_DATE_FOLDER = re.compile(r"^date=[0-9]{4}-[0-9]{2}-[0-9]{2}$", re.ASCII)
_HOUR_FOLDER = re.compile(r"^hour=([0-9]{2}|all)$", re.ASCII)
_TOPIC_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$", re.ASCII)

_log = structlog.get_logger(__name__)


class Kind(StrEnum):
    """What a file holds; also the name of its folder."""

    EVENTS = "events"
    STATES = "states"


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One file of the lake, as its path describes it."""

    kind: Kind
    log: LogPartition
    range: OffsetRange
    path: LakePath


def is_remains(file: LakeFile) -> bool:
    """Tell whether a file stands for events that were removed by age."""
    folder = file.path.parent
    return (folder.parent.name, folder.name) == (REMAINS_DATE, WHOLE_DAY)


def partition_prefix(partition: int) -> str:
    """Return what the names of all files of `partition` begin with."""
    return f"p{partition:02d}-"


def file_name(partition: int, offsets: OffsetRange) -> str:
    """Return the name of a file that holds `offsets` of `partition`."""
    return f"{partition_prefix(partition)}{offsets.first:012d}-{offsets.last:012d}{SUFFIX}"


def parse_file_name(name: str) -> tuple[int, OffsetRange] | None:
    """Return partition and offsets of a name that `file_name` gave, None for any other."""
    match = _FILE_NAME.match(name)
    if match is None:
        return None
    partition, first, last = (int(group) for group in match.groups())
    if last < first or file_name(partition, OffsetRange(first, last)) != name:
        return None
    return partition, OffsetRange(first, last)


def topic_folder(root: LakePath, topic_id: str) -> LakePath:
    """Return the folder of one log. Raises: ConfigurationError for an id that is no folder name."""
    if not _TOPIC_ID.match(topic_id) or topic_id == SCHEMA_FOLDER:
        raise ConfigurationError(f"not a topic id: {topic_id!r}")
    return root / topic_id


def hour_folder(recorded_at_us: int) -> str:
    """Return the folders, below `events`, of what the log took at that time.

    Units: microseconds since 1970 UTC; what lies before, or after the year 9999, goes to the
    nearest hour that has a folder (a log may take its times from producers).
    """
    hour = datetime.fromtimestamp(min(max(recorded_at_us // HOUR_US, 0), _LAST_HOUR) * 3600, UTC)
    return f"date={hour:%Y-%m-%d}/hour={hour:%H}"


def list_files(
    root: LakePath, log: LogPartition, kind: Kind, *, set_aside: bool = False
) -> list[LakeFile]:
    """Return the files of one kind of `log`, by path; or those of them that were set aside.

    Of two that hold the same offsets readers take the first. A Parquet file whose name is no range
    is left out with a warning. Raises: OSError.
    """
    found: list[LakeFile] = []
    prefix = partition_prefix(log.partition)
    folder = topic_folder(root, log.topic_id)
    top = folder / SET_ASIDE_FOLDER if set_aside else folder
    for path in _files_of(top / kind, kind):
        parsed = parse_file_name(path.name)
        if parsed is None:
            _warn_of_stranger(path)
        elif path.name.startswith(prefix):
            found.append(LakeFile(kind, log, parsed[1], path))
    return sorted(found, key=_by_path)


def list_whole_lake(root: LakePath, kind: Kind) -> tuple[list[LakeFile], list[LakePath]]:
    """Return the files of one kind of every log, and the Parquet files whose names are no range.

    Raises: OSError.
    """
    found: list[LakeFile] = []
    strangers: list[LakePath] = []
    for topic_id in _topic_ids(root):
        for path in _files_of(root / topic_id / kind, kind):
            parsed = parse_file_name(path.name)
            if parsed is not None:
                log = LogPartition(topic_id, parsed[0])
                found.append(LakeFile(kind, log, parsed[1], path))
            elif _is_stranger(path.name):
                strangers.append(path)
    return sorted(found, key=_by_path), strangers


def _by_path(file: LakeFile) -> str:
    return str(file.path)


def list_set_aside(root: LakePath) -> list[LakePath]:
    """Return the files of every log that were set aside. Raises: OSError."""
    folders = (root / topic_id / SET_ASIDE_FOLDER for topic_id in _topic_ids(root))
    walks = (files for folder in folders for _, files in at(folder).walk())
    return sorted((each for files in walks for each in files if _is_stranger(each.name)), key=str)


def list_logs(root: LakePath) -> list[LogPartition]:
    """Return every partition of every log that has files in the lake. Raises: OSError."""
    return sorted({file.log for kind in Kind for file in list_whole_lake(root, kind)[0]})


def tidy(root: LakePath, log: LogPartition) -> None:
    """Remove what writers left among the files of the log of `log` when they died.

    Raises: OSError.
    """
    for kind in Kind:
        at(topic_folder(root, log.topic_id) / kind).tidy()


def check_lake(root: LakePath) -> None:
    """Raise LakeUnavailable where there is no lake in `root`, or where nobody can tell."""
    with lake_errors(root, "list"):
        if not at(root / SCHEMA_FOLDER).names():
            raise LakeUnavailable(f"there is no lake at {root}; `runfold up` or a worker makes one")


def _topic_ids(root: LakePath) -> list[str]:
    names = (name for name in at(root).names() if _TOPIC_ID.match(name))
    return sorted(name for name in names if name != SCHEMA_FOLDER)


def _is_stranger(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")


def _warn_of_stranger(path: LakePath) -> None:
    if _is_stranger(path.name):
        _log.warning("lake.file_ignored", path=str(path), reason="the name is no offset range")


def _files_of(top: LakePath, kind: Kind) -> Iterator[LakePath]:
    """Yield the files in the folders where those of `kind` belong."""
    for folder, files in at(top).walk():
        hour, date = folder, folder.parent
        belongs = (
            folder == top
            if kind is Kind.STATES
            else _HOUR_FOLDER.match(hour.name)
            and _DATE_FOLDER.match(date.name)
            and date.parent == top
        )
        if belongs:
            yield from files
