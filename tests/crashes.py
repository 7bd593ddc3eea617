"""A process that dies between any two steps of what it writes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import obstore
import pytest

_STEPS = frozenset({"mkdir", "open", "write", "fsync", "replace", "put", "copy", "delete"})
_TIDYING = frozenset({"unlink"})


class Crashed(BaseException):
    """The process is gone: nothing that it would still do happens."""


@contextmanager
def crash_at(step: int) -> Iterator[None]:
    """Die at one step on the disk or in a bucket, counted from 0; a write gets half through.

    Shape: it ends quietly, also where there are fewer steps. Other threads, a shipper that another
    test has left behind say, are other processes and live on.
    """
    left = step
    dying = threading.get_ident()

    def watched(name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if threading.get_ident() != dying:
                return real(*arguments, **options)
            if name in _STEPS:
                left -= 1
            if left >= 0:
                return real(*arguments, **options)
            if left == -1 and name == "write":
                descriptor, content = arguments
                real(descriptor, content[: len(content) // 2])
            raise Crashed

        return call

    with pytest.MonkeyPatch.context() as patch:
        for storage in (os, obstore):
            for name in (_STEPS | _TIDYING) & vars(storage).keys():
                patch.setattr(storage, name, watched(name, getattr(storage, name)))
        try:
            yield
        except Crashed:
            return
