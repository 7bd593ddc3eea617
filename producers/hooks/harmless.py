"""Keeping a hook's mistakes away from the library that calls it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from runfold.producers.debug import explain

P = ParamSpec("P")


def harmless(hook: Callable[P, None]) -> Callable[P, None]:
    """Return `hook` so that it never raises; what it would have is explained."""

    @wraps(hook)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            hook(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  nothing may reach the library
            explain(f"{hook.__qualname__} recorded nothing", error)

    return guarded
