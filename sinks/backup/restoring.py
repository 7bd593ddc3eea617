"""Putting the files of a backup back, as a lake."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import orjson

from runfold.schemas.errors import ConfigurationError
from runfold.sinks.backup.contents import Contents
from runfold.sinks.backup.manifest import LAKE, KeptFile, Manifest
from runfold.sinks.backup.taking import OnFile
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import list_logs
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at, write_file
from runfold.sinks.views import prepare_lake

_THREADS = 4
_NOTE = "_restore.json"
"""In the lake while it is being restored: which backup it is made from."""


def restore_lake(place: LakePath, manifest: Manifest, root: LakePath, *, on_file: OnFile) -> int:
    """Put the lake of a backup into `root`; return how many bytes were copied.

    Shape: `root` holds nothing, or other logs, as of a topic that was made anew.
    Delivery: one that was broken off is gone on with when it is repeated, with the same backup.
    Raises: ConfigurationError where `root` holds files of the same log; LakeUnavailable,
    LakeCorrupt.
    """
    _begin(root, manifest)
    contents = Contents(place)
    files = [each for each in manifest.files if each.path.startswith(LAKE)]

    def put(file: KeptFile) -> int:
        path = root
        for part in file.path.removeprefix(LAKE).split("/"):
            path = path / part
        if _is_there(path, file):
            return 0
        contents.fetch(file, path)
        return file.size_bytes

    copied = 0
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="restore") as threads:
        for number, size_bytes in enumerate(threads.map(put, files), 1):
            copied += size_bytes
            on_file(number, len(files))
    prepare_lake(root)
    return copied


def is_restoring(root: LakePath) -> bool:
    """Tell whether the lake in `root` is being restored. Raises: LakeUnavailable."""
    with lake_errors(root, "list"):
        return _NOTE in at(root).names()


def end_restore(root: LakePath) -> None:
    """Note that the lake in `root` is whole. Raises: LakeUnavailable."""
    with lake_errors(root / _NOTE, "remove"):
        at(root / _NOTE).remove()


def _begin(root: LakePath, manifest: Manifest) -> None:
    note = root / _NOTE
    with lake_errors(note, "read"):
        try:
            begun = orjson.loads(at(note).read())["backup"]
        except FileNotFoundError:
            begun = None
        there = {log.topic_id for log in list_logs(root)} & {log.topic_id for log in manifest.logs}
        if begun is None and there:
            raise ConfigurationError(
                f"the lake in {root} has files of the same log, {min(there)}; move them away, or "
                "restore to another --lake"
            )
    if begun not in (None, manifest.name):
        raise ConfigurationError(
            f"{root} is being restored from the backup {begun}; give --backup {begun} to go on"
        )
    write_file(note, orjson.dumps({"backup": manifest.name}))


def _is_there(path: LakePath, file: KeptFile) -> bool:
    """Tell whether a file was put there: it has its name when all of it is on the disk."""
    with lake_errors(path, "read"):
        try:
            return at(path).stat().size_bytes == file.size_bytes
        except FileNotFoundError:
            return False
