"""What goes wrong with the storage of a lake, as runfold says it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from runfold.schemas.errors import LakeUnavailable
from runfold.sinks.object_path import LakePath

_LISTINGS = 5
T = TypeVar("T")


@contextlib.contextmanager
def lake_errors(path: LakePath, doing: str) -> Iterator[None]:
    """Turn the OSError that is raised over `path` into LakeUnavailable."""
    try:
        yield
    except OSError as error:
        at = error.filename or str(path)
        reason = error.strerror or str(error) or type(error).__name__
        raise LakeUnavailable(f"cannot {doing} {os.fsdecode(at)}: {reason}") from error


def listing_again(read: Callable[[], T]) -> T:
    """Return what `read` gives, which lists files and reads them, though some be merged meanwhile.

    Raises: LakeUnavailable.
    """
    for _ in range(_LISTINGS - 1):
        try:
            return read()
        except LakeUnavailable as error:
            if not is_gone(error):
                raise
    return read()


def is_gone(error: LakeUnavailable) -> bool:
    """Tell whether a file is not there any more, which after a listing means that it was merged."""
    return isinstance(error.__cause__, FileNotFoundError)
