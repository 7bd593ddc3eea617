"""Recorders for who has not agreed to be recorded, and for who wants to see what would be."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from runfold.producers.consent import VERBOSE, Consent, is_yes
from runfold.producers.debug import explain
from runfold.producers.outbox import RunLine
from runfold.producers.recorder import Recorder

_LONGEST_PREVIEW = 2000


class SilentRecorder(Recorder):
    """Records nothing: no file, no thread, no network, and no count."""

    def record(
        self, run_id: str, event_type: str, given: dict[str, Any], *, agent_name: str | None = None
    ) -> None:
        """Let an event go."""

    def refuse(self, event_type: str) -> None:
        """Let it go."""


class PreviewingRecorder(Recorder):
    """Shows on stderr what it sends."""

    def _put(self, run: RunLine, event_type: str, rest: bytes) -> None:
        super()._put(run, event_type, rest)
        _show("sends", run, rest)


class RehearsingRecorder(Recorder):
    """Shows on stderr what it would send if it might, and records nothing."""

    def _put(self, run: RunLine, event_type: str, rest: bytes) -> None:  # noqa: ARG002
        run.sequence += 1
        _show("may not send, and would send", run, rest)


def recorder_for(consent: Consent, *, verbose: object) -> type[Recorder]:
    """Return the kind of recorder that a client may have."""
    shows = verbose is True or is_yes(os.environ.get(VERBOSE))
    if consent.allowed:
        return PreviewingRecorder if shows else Recorder
    explain(f"nothing is recorded: {consent.because}")
    return RehearsingRecorder if shows else SilentRecorder


def _show(what: str, run: RunLine, rest: bytes) -> None:
    line = b"%b%d%b" % (run.prefix, run.sequence, rest)
    text = line[:_LONGEST_PREVIEW].decode("utf-8", "replace").rstrip()
    more = f"… ({len(line):,} bytes)" if len(line) > _LONGEST_PREVIEW else ""
    with suppress(Exception):  # stderr may be closed
        sys.stderr.write(f"runfold {what}: {text}{more}\n")
