"""What a backup consists of: a manifest that names contents by their SHA-256.

```
<place>/backups/2026-11-21T13-40-05.123456Z.json   one manifest for each backup, written last
<place>/contents/3f/3f79bb7b435b05321651daefd374cd…  what manifests name, each content once
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import orjson

from runfold.schemas.errors import ConfigurationError, LakeCorrupt
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at, write_file

LAKE = "lake/"
"""What the paths of a lake's files begin with in a manifest."""
TOPICS = "topics/"
"""What the paths of copied topics begin with."""
_FOLDER = "backups"
_FORMAT = 1
_NAME = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}\.[0-9]{6}Z$", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file of a backup. `path` is that in the lake below `lake/`, or of a copy of a topic.

    Units: `modified` seconds since 1970 by the clock of the lake's storage.
    """

    path: str
    size_bytes: int
    modified: float
    sha256: str


@dataclass(frozen=True, slots=True)
class KeptLog:
    """How far one partition of one log is in a backup.

    Shape: events reach from `first` to before `events_end`, states to before `states_end`.
    """

    topic_id: str
    partition: int
    first: int
    events_end: int
    states_end: int


@dataclass(frozen=True, slots=True)
class KeptTopic:
    """A topic as it was: `records` were copied of it, None where it is not copied."""

    name: str
    partitions: int
    config: Mapping[str, str]
    records: int | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup. Whatever it names is there once it is."""

    name: str
    runfold: str
    files: list[KeptFile]
    logs: list[KeptLog]
    topics: list[KeptTopic]
    not_in_lake: int | None
    """How many records the log had that were not in the lake yet; None where nobody knew."""

    @property
    def size_bytes(self) -> int:
        """How much is restored."""
        return sum(each.size_bytes for each in self.files)


def new_name() -> str:
    """Return the name of a backup that begins now."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}Z"


def backup_names(place: LakePath) -> list[str]:
    """Return the backups in `place`, the oldest first. Raises: LakeUnavailable."""
    with lake_errors(place, "list"):
        names = (name.removesuffix(".json") for name in at(place / _FOLDER).names())
        return sorted(name for name in names if _NAME.match(name))


def find_backup(place: LakePath, name: str | None = None) -> Manifest:
    """Return a backup by name, or the newest one. Raises: ConfigurationError, LakeUnavailable."""
    names = backup_names(place)
    if not names:
        raise ConfigurationError(f"there is no backup in {place}")
    if name is not None and name not in names:
        raise ConfigurationError(f"there is no backup {name!r} in {place}; {names[-1]!r} is newest")
    return read_manifest(place, name or names[-1])


def read_manifest(place: LakePath, name: str) -> Manifest:
    """Return the backup of that name. Raises: LakeUnavailable, LakeCorrupt, ConfigurationError."""
    path = _path(place, name)
    with lake_errors(path, "read"):
        content = at(path).read()
    try:
        said = orjson.loads(content)
        if said.pop("format") != _FORMAT:
            raise ConfigurationError(f"{path} was made by a newer runfold")
        return Manifest(
            **said
            | {
                "files": [KeptFile(**each) for each in said["files"]],
                "logs": [KeptLog(**each) for each in said["logs"]],
                "topics": [KeptTopic(**each) for each in said["topics"]],
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        raise LakeCorrupt(f"{path} is damaged: {error!r}") from error


def write_manifest(place: LakePath, manifest: Manifest) -> None:
    """Make a backup one that is there. Raises: LakeUnavailable."""
    said = {"format": _FORMAT, **asdict(manifest)}
    write_file(_path(place, manifest.name), orjson.dumps(said, option=orjson.OPT_INDENT_2))


def remove_manifest(place: LakePath, name: str) -> None:
    """Make a backup one that is not there. Raises: LakeUnavailable."""
    path = _path(place, name)
    with lake_errors(path, "remove"):
        at(path).remove()


def _path(place: LakePath, name: str) -> LakePath:
    return place / _FOLDER / f"{name}.json"
