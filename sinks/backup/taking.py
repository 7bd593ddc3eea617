"""Making a backup, verifying those that there are, and removing old ones."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runfold.schemas.errors import LakeCorrupt, LakeUnavailable
from runfold.sinks.backup.choosing import choose_files, relative
from runfold.sinks.backup.contents import Contents
from runfold.sinks.backup.manifest import (
    LAKE,
    TOPICS,
    KeptFile,
    KeptLog,
    KeptTopic,
    Manifest,
    backup_names,
    new_name,
    read_manifest,
    remove_manifest,
    write_manifest,
)
from runfold.sinks.lake_errors import is_gone, lake_errors
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at

_THREADS = 4
_LISTINGS = 5
T = TypeVar("T")

OnFile = Callable[[int, int], None]
"""Told how many files are done, of how many."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was made. What is `new` was not in the place before."""

    manifest: Manifest
    new_files: int
    new_bytes: int


@dataclass(frozen=True, slots=True)
class TopicCopy:
    """A copy of a topic's records in a file of this machine, for a backup."""

    topic: KeptTopic
    path: Path | None


def take_backup(
    root: LakePath,
    place: LakePath,
    topics: Iterable[TopicCopy],
    *,
    not_in_lake: Callable[[list[KeptLog]], int | None],
    on_file: OnFile,
) -> Taken:
    """Copy the lake in `root` to `place`, also while workers write and merge its files.

    Shape: what an earlier backup in `place` holds is not copied again. `not_in_lake` is told how
    far the copied logs are, and returns how many records are behind that.
    Delivery: a backup is there when all that it names is; broken off, it leaves contents that the
    next one uses. Safe to repeat. Raises: LakeUnavailable, LakeCorrupt.
    """
    taking = _Taking(place, _earlier(place))
    name = new_name()
    copies = list(topics)
    files, logs = taking.lake_files(root, on_file)
    kept = [each for each in map(taking.topic_file, copies) if each is not None]
    manifest = Manifest(
        name=name,
        runfold=importlib.metadata.version("runfold"),
        files=[*files, *kept],
        logs=logs,
        topics=[each.topic for each in copies],
        not_in_lake=not_in_lake(logs),
    )
    new = {each.sha256: each for each in manifest.files if each.sha256 not in taking.known}
    if problems := _problems(Contents(place), list(new.values())):
        raise LakeCorrupt(f"what was copied cannot be read back: {problems[0]}")
    write_manifest(place, manifest)
    return Taken(manifest, len(new), sum(each.size_bytes for each in new.values()))


class _Taking:
    """One backup while it is made."""

    def __init__(self, place: LakePath, earlier: Mapping[str, KeptFile]) -> None:
        self._contents = Contents(place)
        self._earlier = earlier
        self._done: dict[str, KeptFile] = {}
        self.known = self._contents.known()

    def lake_files(self, root: LakePath, on_file: OnFile) -> tuple[list[KeptFile], list[KeptLog]]:
        """Copy what is to be copied; where a file was merged meanwhile, choose once more."""
        for attempt in range(1, _LISTINGS + 1):
            chosen, logs = choose_files(root)
            try:
                with ThreadPoolExecutor(_THREADS, thread_name_prefix="backup") as threads:
                    kept = threads.map(lambda path: self._lake_file(root, path), chosen)
                    return list(_counted(kept, len(chosen), on_file)), logs
            except LakeUnavailable as error:
                if attempt == _LISTINGS or not is_gone(error):
                    raise
        raise AssertionError("unreachable")

    def topic_file(self, copy: TopicCopy) -> KeptFile | None:
        """Keep the copy of a topic."""
        if copy.path is None:
            return None
        digest, size_bytes = self._contents.keep(copy.path, self.known)
        return KeptFile(f"{TOPICS}{copy.topic.name}.parquet", size_bytes, 0.0, digest)

    def _lake_file(self, root: LakePath, path: LakePath) -> KeptFile:
        name = LAKE + relative(root, path)
        with lake_errors(path, "read"):
            about = at(path).stat()
        for known in (self._done.get(name), self._earlier.get(name)):
            # Nothing is written twice to one name but what is the same, or what was erased from;
            # that has another time.
            if known is not None and (known.size_bytes, known.modified) == (
                about.size_bytes,
                about.modified,
            ):
                return known
        digest, size_bytes = self._contents.keep(path, self.known)
        self._done[name] = kept = KeptFile(name, size_bytes, about.modified, digest)
        return kept


def _earlier(place: LakePath) -> dict[str, KeptFile]:
    """Return the files of the newest backup whose contents are there."""
    names = backup_names(place)
    if not names:
        return {}
    known = Contents(place).known()
    files = read_manifest(place, names[-1]).files
    return {each.path: each for each in files if each.sha256 in known}


def _counted(done: Iterable[T], total: int, on_file: OnFile) -> Iterator[T]:
    for number, each in enumerate(done, 1):
        yield each
        on_file(number, total)


def verify_backup(place: LakePath, manifest: Manifest, on_file: OnFile) -> list[str]:
    """Read all of a backup back; return what is wrong with it. Raises: LakeUnavailable."""
    return _problems(Contents(place), manifest.files, on_file)


def _problems(
    contents: Contents, files: Sequence[KeptFile], on_file: OnFile = lambda _, __: None
) -> list[str]:
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as threads:
        found = _counted(threads.map(contents.problem, files), len(files), on_file)
        return [each for each in found if each is not None]


def keep_newest(place: LakePath, keep: int) -> tuple[list[str], int]:
    """Remove all backups but the newest `keep`, and what only they named; return them, and bytes.

    Delivery: safe to break off and to repeat. Raises: LakeUnavailable, LakeCorrupt.
    """
    names = backup_names(place)
    removed = names[:-keep]
    for name in removed:
        remove_manifest(place, name)
    wanted = {
        each.sha256 for name in backup_names(place) for each in read_manifest(place, name).files
    }
    return removed, Contents(place).discard(wanted)[1]
