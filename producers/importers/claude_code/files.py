"""Transcript files: where they are, and how far they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runfold.schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TranscriptFile:
    """One `.jsonl` file as it was when the import began.

    Units: `size_bytes` how far it is read, so that a file which grows meanwhile is read twice
    alike; `modified_ns` nanoseconds since 1970.
    """

    path: Path
    size_bytes: int
    modified_ns: int


def find_transcripts(path: Path) -> list[TranscriptFile]:
    """Return the transcripts in the folder `path` and below, or the one that `path` is, by name.

    Raises: ConfigurationError where there is nothing to read, or nobody may read it.
    """
    try:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*.jsonl") if each.is_file())
            next(path.iterdir(), None)
        elif path.exists():
            found = [path]
            path.open("rb").close()
        else:
            raise ConfigurationError(f"{path}: no such file or folder")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    return [_described(each) for each in found]


def _described(path: Path) -> TranscriptFile:
    stat = path.stat()
    return TranscriptFile(path, stat.st_size, stat.st_mtime_ns)
