"""When a silent run is taken for dead: the client's heartbeats and the readers' rule meet here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

HEARTBEAT = timedelta(seconds=30)
"""A client says at least so often of each open run that it is alive."""


@dataclass(frozen=True, slots=True)
class SilenceRule:
    """How long the log may hear nothing of an open run before readers call it orphaned.

    Shape: `with_heartbeats` is for a run that has sent one, and leaves room for two that are late;
    `without_heartbeats` is for importers and foreign clients, which send none.
    """

    with_heartbeats: timedelta = 3 * HEARTBEAT
    without_heartbeats: timedelta = timedelta(hours=1)
