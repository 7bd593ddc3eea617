"""Telling a developer, when asked by RUNFOLD_DEBUG=1, what the client otherwise only counts."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

VARIABLE = "RUNFOLD_DEBUG"


def explain(what: str, error: BaseException | None = None) -> None:
    """Write one line to stderr when RUNFOLD_DEBUG is set to anything but 0. Never raises."""
    if os.environ.get(VARIABLE, "0") in ("", "0"):
        return
    with suppress(Exception):  # stderr may be closed, or a str() of the agent's own may raise
        why = "" if error is None else f": {type(error).__name__}: {error}"
        sys.stderr.write(f"runfold: {what}{why}\n")
