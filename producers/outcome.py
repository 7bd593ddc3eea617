"""How a block of the agent's code ended, as fields of an event."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from runfold.producers.tame import message_of
from runfold.schemas.vocabulary import RunStatus

_CANCELLING = (KeyboardInterrupt, SystemExit, GeneratorExit)
_MOST_FRAMES = 20


def outcome_of(error: BaseException) -> dict[str, Any]:
    """Return status, type and message of what an exception ended."""
    cancelled = isinstance(error, _CANCELLING) or _is_cancelled_task(error)
    status = RunStatus.CANCELLED if cancelled else RunStatus.FAILURE
    return {"status": status.value, **error_fields(error)}


def _is_cancelled_task(error: BaseException) -> bool:
    asyncio = sys.modules.get("asyncio")  # who has not imported it has no tasks
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return type and message of an exception."""
    return {"error_type": type(error).__qualname__, "error_message": message_of(error)}


def frames_of(trace: TracebackType | None) -> list[str]:
    """Return where an exception came through, outermost first; the last 20 places.

    No source is read: that would be a file for each frame, on the agent's time.
    """
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return frames[-_MOST_FRAMES:]
