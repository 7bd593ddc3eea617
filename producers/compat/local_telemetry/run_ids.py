"""Choosing the id of a run: the caller's where it is one, else a new one; and counting which."""

from __future__ import annotations

import logging
import threading
from collections.abc import Container
from typing import Any
from uuid import uuid4

from runfold.producers.compat.local_telemetry.models import generate_run_id, get_iso8601_timestamp

logger = logging.getLogger(__name__)

LONGEST_RUN_ID = 255
_FORBIDDEN = frozenset("/\\\0")


class RunIdMetrics:
    """Counts what run ids a client was given, and which it made. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.custom_accepted = 0
        self.generated = 0
        self.duplicates_detected = 0
        self.rejected = {"empty": 0, "too_long": 0, "invalid_chars": 0}

    def choose(self, custom: Any, agent_name: str, active: Container[str]) -> str:
        """Return the id that a new run gets.

        Shape: a falsy `custom` is none; one that is refused is replaced and counted; one of an
        `active` run is made another. Raises: TypeError where it is no text.
        """
        if not custom:
            return self._generate(agent_name)
        if not isinstance(custom, str):
            raise TypeError(f"run_id is no text but {type(custom).__name__}: {custom!r}")
        reason = refusal(custom)
        if reason is not None:
            logger.warning("custom run_id refused (%s), one is generated instead", reason)
            with self._lock:
                self.rejected[reason] += 1
            return self._generate(agent_name)
        with self._lock:
            self.custom_accepted += 1
            if custom not in active:
                return custom
            self.duplicates_detected += 1
        logger.warning("run_id %s is active already", custom)
        return f"{custom}-duplicate-{uuid4().hex[:8]}"

    def report(self) -> dict[str, Any]:
        """Return all counts, and when they were taken."""
        with self._lock:
            total = self.custom_accepted + self.generated
            share = 100 * self.custom_accepted / total if total else 0.0
            counts = {
                "custom_accepted": self.custom_accepted,
                "generated": self.generated,
                "rejected": {**self.rejected, "total": sum(self.rejected.values())},
                "duplicates_detected": self.duplicates_detected,
                "total_runs": total,
                "custom_percentage": round(share, 2),
            }
        return {"run_id_metrics": counts, "timestamp": get_iso8601_timestamp()}

    def _generate(self, agent_name: str) -> str:
        with self._lock:
            self.generated += 1
        return generate_run_id(agent_name)


def refusal(run_id: str) -> str | None:
    """Return why a custom run id cannot be used: `empty`, `too_long`, `invalid_chars` or None."""
    if not run_id.strip():
        return "empty"
    if len(run_id) > LONGEST_RUN_ID:
        return "too_long"
    return None if _FORBIDDEN.isdisjoint(run_id) else "invalid_chars"


def error_id(custom: Any, agent_name: Any) -> str:
    """Return what stands for the id of a run that could not be started. Never raises."""
    try:
        return f"error-{custom or generate_run_id(agent_name)}"
    except Exception:  # noqa: BLE001  a __str__ of the agent's own
        return f"error-{generate_run_id('unknown')}"
