"""The files of the lake: their names, their places and how they are listed.

```
<root>/<topic id>/events/date=2026-11-21/hour=07/p03-000000001200-000000001899.parquet
<root>/<topic id>/events/date=2026-11-20/hour=all/p03-000000000000-000000001199.parquet
<root>/<topic id>/states/p03-000000001200-000000001899.parquet
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import structlog

from runfold.schemas.errors import ConfigurationError
from runfold.schemas.offsets import LogPartition, OffsetRange
from runfold.sinks.durable_files import names_in

SUFFIX = ".parquet"
HOUR_US = 3_600_000_000
_LAST_HOUR = int(datetime(9999, 12, 31, 23, tzinfo=UTC).timestamp()) // 3600
SCHEMA_FOLDER = "_schema"
"""Beside the topic ids: files of no rows, which give the views their columns."""
WHOLE_DAY = "hour=all"
"""Holds what was merged from several hours of a day."""
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
    path: Path


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


def topic_folder(root: Path, topic_id: str) -> Path:
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
    root: Path, log: LogPartition, kind: Kind, *, set_aside: bool = False
) -> list[LakeFile]:
    """Return the files of one kind of `log`, in no order; or those of them that were set aside.

    A Parquet file whose name is no range is left out with a warning. Raises: OSError.
    """
    found: list[LakeFile] = []
    prefix = partition_prefix(log.partition)
    folder = topic_folder(root, log.topic_id)
    top = folder / SET_ASIDE_FOLDER if set_aside else folder
    for folder, names in _folders(top / kind, kind):
        for name in names:
            parsed = parse_file_name(name)
            if parsed is None:
                _warn_of_stranger(folder / name)
            elif name.startswith(prefix):
                found.append(LakeFile(kind, log, parsed[1], folder / name))
    return found


def list_whole_lake(root: Path, kind: Kind) -> tuple[list[LakeFile], list[Path]]:
    """Return the files of one kind of every log, and the Parquet files whose names are no range.

    Raises: OSError.
    """
    found: list[LakeFile] = []
    strangers: list[Path] = []
    topic_ids = (name for name in sorted(names_in(root)) if _TOPIC_ID.match(name))
    for topic_id in topic_ids:
        if topic_id == SCHEMA_FOLDER:
            continue
        for folder, names in _folders(root / topic_id / kind, kind):
            for name in names:
                parsed = parse_file_name(name)
                if parsed is not None:
                    log = LogPartition(topic_id, parsed[0])
                    found.append(LakeFile(kind, log, parsed[1], folder / name))
                elif _is_stranger(name):
                    strangers.append(folder / name)
    return found, strangers


def list_logs(root: Path) -> list[LogPartition]:
    """Return every partition of every log that has files in the lake. Raises: OSError."""
    return sorted({file.log for kind in Kind for file in list_whole_lake(root, kind)[0]})


def list_folders(root: Path, log: LogPartition) -> Iterator[Path]:
    """Yield the folders that hold files of the log of `log`. Raises: OSError."""
    for kind in Kind:
        for folder, _ in _folders(topic_folder(root, log.topic_id) / kind, kind):
            yield folder


def _is_stranger(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")


def _warn_of_stranger(path: Path) -> None:
    if _is_stranger(path.name):
        _log.warning("lake.file_ignored", path=str(path), reason="the name is no offset range")


def _folders(top: Path, kind: Kind) -> Iterator[tuple[Path, list[str]]]:
    if kind is Kind.STATES:
        yield top, names_in(top)
        return
    for date in names_in(top):
        if _DATE_FOLDER.match(date):
            for hour in names_in(top / date):
                if _HOUR_FOLDER.match(hour):
                    yield top / date / hour, names_in(top / date / hour)
