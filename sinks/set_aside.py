"""Files that are not what their names say: moved out of the way, kept, and named."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import structlog

from runfold.schemas.errors import LakeCorrupt
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import SET_ASIDE_FOLDER, LakeFile, topic_folder
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def reading(root: LakePath, file: LakeFile) -> Iterator[None]:
    """Set `file` aside where what is done with it shows that it is damaged.

    Raises: LakeUnavailable (retry) where its disk fails or it is gone; LakeCorrupt (retry) where
    it has been set aside.
    """
    try:
        with lake_errors(file.path, "read"):
            try:
                yield
            except OSError as error:
                if error.errno is None:  # Arrow says so of a page that cannot be unpacked
                    raise LakeCorrupt(str(error)) from error
                raise
    except (*_DAMAGES, LakeCorrupt) as error:
        raise _set_aside(root, file, str(error)) from error


_DAMAGES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException)


def _set_aside(root: LakePath, file: LakeFile, reason: str) -> LakeCorrupt:
    """Move `file` out of the lake, durably; return the error that names it."""
    folder = topic_folder(root, file.log.topic_id)
    place = folder / SET_ASIDE_FOLDER / str(file.path).removeprefix(f"{folder}/")
    with lake_errors(file.path, "set aside"):
        at(file.path).move(place)  # unless another worker was quicker
    _log.error(
        "lake.file_set_aside",
        path=str(file.path),
        to=str(place),
        partition=file.log.partition,
        range=str(file.range),
        reason=reason,
    )
    return LakeCorrupt(f"{file.path} has been set aside: {reason}")
