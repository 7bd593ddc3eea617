"""What is noted of an erasure: whom it concerned, as salted hashes, and what was removed.

```
<lake>/_erasures/<id>.begun.json   it has been begun; files of the lake are not merged meanwhile
<lake>/_erasures/<id>.json         it is done
```
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

import orjson

from runfold.schemas.errors import LakeCorrupt
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at, write_file

FOLDER = "_erasures"
_BEGUN, _DONE = ".begun.json", ".json"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure.

    Shape: `by` is session, user or host; `subject` and `runs` are hashes with the salt. `offsets`
    has for each topic id and partition the offset up to which Kafka is cut off, exclusive.
    """

    id: str
    by: str
    salt: str
    subject: str
    begun_at: str
    runs: list[str] = field(default_factory=list)
    offsets: dict[str, dict[str, int]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    done_at: str | None = None

    def chosen(self, run_ids: Iterable[str | None]) -> set[str]:
        """Return those of `run_ids` that it concerns."""
        known = set(self.runs)
        return {each for each in set(run_ids) if each and self._hash(each) in known}

    def with_runs(self, run_ids: Iterable[str]) -> Erasure:
        """Return it with more runs."""
        return replace(self, runs=sorted({*self.runs, *map(self._hash, run_ids)}))

    def concerns(self, by: str, subject: str) -> bool:
        """Tell whether it is that of a subject."""
        return by == self.by and self._hash(subject) == self.subject

    def _hash(self, text: str) -> str:
        return hashlib.sha256(f"{self.salt}{text}".encode()).hexdigest()


def find_erasure(root: LakePath, by: str, subject: str) -> Erasure | None:
    """Return the erasure of a subject, begun or done. Raises: LakeUnavailable, LakeCorrupt."""
    return next((each for each in erasures(root) if each.concerns(by, subject)), None)


def new_erasure(by: str, subject: str) -> Erasure:
    """Return one that begins now."""
    now = datetime.now(UTC)
    salt = secrets.token_hex(16)
    begun = Erasure(f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}", by, salt, "", now.isoformat())
    return replace(begun, subject=begun._hash(subject))


def erasures(root: LakePath) -> list[Erasure]:
    """Return all that are noted in a lake. Raises: LakeUnavailable, LakeCorrupt."""
    found: dict[str, Erasure] = {}
    folder = root / FOLDER
    with lake_errors(folder, "read"):
        # Of one that is repeated both notes are there; the one of its beginning knows more.
        for name in sorted(at(folder).names(), key=lambda name: name.endswith(_BEGUN)):
            if name.endswith(_DONE) and not name.startswith("."):
                try:
                    each = Erasure(**orjson.loads(at(folder / name).read()))
                except (ValueError, TypeError) as error:
                    raise LakeCorrupt(f"{folder / name} is damaged: {error}") from error
                found[each.id] = each
    return list(found.values())


def is_erasing(root: LakePath) -> bool:
    """Tell whether an erasure was begun and is not done. Raises: LakeUnavailable."""
    with lake_errors(root / FOLDER, "list"):
        names = at(root / FOLDER).names()
    return any(name.endswith(_BEGUN) and not name.startswith(".") for name in names)


def note_begun(root: LakePath, erasure: Erasure) -> None:
    """Note that it has begun, or how far it is. Raises: LakeUnavailable."""
    write_file(root / FOLDER / f"{erasure.id}{_BEGUN}", _written(erasure))


def note_done(root: LakePath, erasure: Erasure) -> Erasure:
    """Note that it is done. Raises: LakeUnavailable."""
    done = replace(erasure, done_at=datetime.now(UTC).isoformat())
    write_file(root / FOLDER / f"{done.id}{_DONE}", _written(done))
    begun = root / FOLDER / f"{done.id}{_BEGUN}"
    with lake_errors(begun, "remove"):
        at(begun).remove()
    return done


def note_again(root: LakePath, erasure: Erasure) -> None:
    """Note one that another lake knew of. Raises: LakeUnavailable."""
    write_file(root / FOLDER / f"{erasure.id}{_DONE}", _written(erasure))


def _written(erasure: Erasure) -> bytes:
    return orjson.dumps(asdict(erasure), option=orjson.OPT_INDENT_2)
