"""Sets of states: those that workers have kept since the beginning, and what replays made beside.

```
<root>/_replays/<name>/<topic id>/states/…   the states of a replay
<root>/_replays/<name>/replay.json           what it was made with
<root>/_replays/serving.json                 which set workers go on with and readers see
```
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from runfold.schemas.errors import ConfigurationError
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at, write_file

ORIGINAL = "original"
"""The set that lies in the lake itself."""
REPLAYS_FOLDER = "_replays"

_DESCRIPTION = "replay.json"
_SERVING = "serving.json"
_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$", re.ASCII)


@dataclass(frozen=True, slots=True)
class StateSet:
    """One set of states.

    Shape: `fold` is the name of the fold; `source` says what was replayed; a `partial` one does
    not begin where the log does, so that earlier runs are not whole in it; `complete` is False
    while it is being made.
    """

    name: str
    fold: str = "default"
    source: str = "the log, as it came"
    partial: bool = False
    complete: bool = True


def states_root(root: LakePath, name: str) -> LakePath:
    """Return the folder below which the states of a set lie, as they would in a lake."""
    return root if name == ORIGINAL else root / REPLAYS_FOLDER / name


def check_name(name: str) -> str:
    """Return a name that a set can have. Raises: ConfigurationError."""
    if not _NAME.match(name) or name in (ORIGINAL, "states", "events"):
        raise ConfigurationError(
            f"not a name for a replay: {name!r}; use small letters, digits, - and _, "
            f"and not {ORIGINAL!r}, which is the set that lies in the lake itself"
        )
    return name


def find_set(root: LakePath, name: str) -> StateSet:
    """Return a set by name. Raises: ConfigurationError naming those that there are."""
    for each in all_sets(root):
        if each.name == name:
            return each
    names = ", ".join(each.name for each in all_sets(root))
    raise ConfigurationError(f"no replay {name!r}; there are {names}")


def all_sets(root: LakePath) -> list[StateSet]:
    """Return all sets, the original one first. Raises: LakeUnavailable."""
    with lake_errors(root, "list"):
        names = sorted(at(root / REPLAYS_FOLDER).names())
    described = (_read(root / REPLAYS_FOLDER / name / _DESCRIPTION) for name in names)
    return [StateSet(ORIGINAL), *(StateSet(**each) for each in described if each is not None)]


def write_set(root: LakePath, described: StateSet) -> None:
    """Note what a set is. Raises: LakeUnavailable."""
    _write(states_root(root, described.name) / _DESCRIPTION, asdict(described))


def remove_set(root: LakePath, name: str) -> None:
    """Remove a set and its states. Raises: LakeUnavailable."""
    folder = states_root(root, check_name(name))
    with lake_errors(folder, "remove"):
        # The description goes first: what is half removed is no set.
        at(folder / _DESCRIPTION).remove()
        at(folder).remove_all()


def serving_set(root: LakePath) -> StateSet:
    """Return the set that workers go on with and readers see.

    Raises: LakeUnavailable; ConfigurationError where it is not there.
    """
    serving = _read(root / REPLAYS_FOLDER / _SERVING)
    return StateSet(ORIGINAL) if serving is None else find_set(root, serving["name"])


def serve(root: LakePath, name: str) -> None:
    """Let workers and readers use the set of that name from now on.

    Delivery: at once for what opens the lake anew; a worker begins anew at its next flush.
    Raises: LakeUnavailable, ConfigurationError.
    """
    _write(root / REPLAYS_FOLDER / _SERVING, {"name": find_set(root, name).name})


def _read(path: LakePath) -> dict[str, Any] | None:
    with lake_errors(path, "read"):
        try:
            content = at(path).read()
        except (FileNotFoundError, NotADirectoryError):
            return None
    try:
        return dict(orjson.loads(content))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _write(path: LakePath, content: dict[str, object]) -> None:
    write_file(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
