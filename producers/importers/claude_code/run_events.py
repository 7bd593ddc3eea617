"""The events of a run: its units', and when it started, paused, went on and ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import orjson

from runfold.producers.importers.claude_code.prompts import TITLE_CHARACTERS, shortened
from runfold.producers.importers.claude_code.stretches import (
    Mark,
    Outcomes,
    Stretch,
    stretches,
)
from runfold.producers.importers.claude_code.unit_events import Fields, unit_events
from runfold.producers.importers.claude_code.units import EVENT_ID_PREFIX, RunInfo, Unit
from runfold.schemas.vocabulary import EventType, RunStatus

MAIN_AGENT = "claude-code"
UNNAMED_AGENT = "subagent"
DEFAULT_IDLE = timedelta(minutes=30)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How transcripts are read.

    Shape: `content` is whether titles, tool inputs and error texts are kept. Units: a session
    that wrote nothing for `idle` before `now` has ended.
    """

    now: datetime
    idle: timedelta = DEFAULT_IDLE
    content: bool = True

    @property
    def now_us(self) -> int:
        """`now` in microseconds since 1970 UTC."""
        return round(self.now.timestamp() * 1_000_000)

    @property
    def idle_us(self) -> int:
        """`idle` in microseconds."""
        return self.idle // _MICROSECOND


class RunWriter:
    """Writes the events of one run.

    Shape: `beats` are the lines of its sub-agents, which keep it from being idle.
    """

    def __init__(
        self,
        info: RunInfo,
        units: list[Unit],
        options: ImportOptions,
        *,
        beats: Iterable[Mark] = (),
    ) -> None:
        self._info = info
        self._options = options
        self._units = sorted(units, key=lambda each: each.first_at)
        self._own = sorted((at, uuid) for unit in units for uuid, at in unit.marks.items())
        self._stretches = stretches(
            [*self._own, *beats], info.completed, idle_us=options.idle_us, now_us=options.now_us
        )

    @property
    def pending(self) -> Unit | None:
        """The message that may still be being written, if there is one.

        A message is complete once it has a stop reason, once the run has gone on to another
        message or prompt, or once the run has ended.
        """
        telling = [
            each
            for each in self._units
            if each.message is not None or (each.note is not None and not each.neutral)
        ]
        if not telling or self._stretches[-1].ended is not None or not self._info.native:
            return None
        last = telling[-1]
        return last if last.message is not None and not last.message.finished else None

    def events(self) -> list[Fields]:
        """Return the events in the order of their times, the start first."""
        pending = self.pending
        content = self._options.content
        events = [self._started()]
        for unit in self._units:
            events += unit_events(unit, complete=unit is not pending, content=content)
        events += self._course()
        events += self._titled()
        events.sort(key=lambda each: each["occurred_at"])
        return [finished_event(each, self._info.run_id) for each in events]

    def _started(self) -> Fields:
        info = self._info
        main = info.agent_id is None
        attributes: dict[str, Any] = {
            "source": "claude-code",
            "cwd": info.cwd,
            "entrypoint": info.entrypoint,
            "forked_from": info.forked_from,
        }
        if self._options.content:
            first = info.description or info.first_prompt
            attributes["title"] = shortened(first, TITLE_CHARACTERS) if first else None
        return {
            "event_id": self._event_id("start"),
            "event_type": EventType.RUN_STARTED.value,
            "occurred_at": self._own[0][0],
            "agent_name": MAIN_AGENT if main else info.agent_type or UNNAMED_AGENT,
            "agent_version": info.version,
            "job_type": "session" if main else "subagent",
            "trigger_type": _trigger(info),
            "project": project_of(info.cwd),
            "session_id": info.session_id,
            "parent_run_id": None if main else info.parent_run_id or info.session_id,
            "parent_span_id": info.parent_tool_id,
            "git_branch": info.git_branch,
            "attributes": attributes,
        }

    def _course(self) -> Iterator[Fields]:
        outcomes = Outcomes(self._units)
        for number, stretch in enumerate(self._stretches):
            if number > 0:
                yield {
                    "event_id": self._event_id(f"{stretch.first[1]}-resumed"),
                    "event_type": EventType.RUN_UPDATED.value,
                    "occurred_at": stretch.first[0],
                    "status": RunStatus.RUNNING.value,
                }
            ended = self._end_of(stretch)
            if ended is not None:
                yield self._ended(*ended, outcomes)

    def _end_of(self, stretch: Stretch) -> tuple[int, str, str] | None:
        if stretch.ended is None and not self._info.native:
            return stretch.last[0], stretch.last[1], ""
        return stretch.ended

    def _ended(self, at: int, name: str, status: str, outcomes: Outcomes) -> Fields:
        judged, error = outcomes.at(at)
        note = error.note.fields if error is not None and error.note is not None else {}
        return {
            "event_id": self._event_id(f"{name}-end"),
            "event_type": EventType.RUN_ENDED.value,
            "occurred_at": at,
            "status": status or judged.value,
            "error_type": note.get("error_type"),
            "error_message": note.get("error_message") if self._options.content else None,
            "attributes": {"end_seen_by": "parent run" if status else "idle time"},
        }

    def _titled(self) -> Iterator[Fields]:
        title = self._info.title
        if not title or not self._options.content:
            return
        name = blake2b(title.encode("utf-8", "replace"), digest_size=6).hexdigest()
        yield {
            "event_id": self._event_id(f"{name}-title"),
            "event_type": EventType.RUN_UPDATED.value,
            "occurred_at": self._own[-1][0],
            "attributes": {"title": shortened(title, TITLE_CHARACTERS)},
        }

    def _event_id(self, name: str) -> str:
        return f"{EVENT_ID_PREFIX}{self._info.run_id}-{name}"


def finished_event(fields: Mapping[str, Any], run_id: str) -> Fields:
    """Return an event as it is published: set fields only, attributes as text."""
    event = {name: value for name, value in fields.items() if value is not None}
    event["run_id"] = run_id
    attributes = {
        name: value for name, value in event.pop("attributes", {}).items() if value is not None
    }
    if attributes:
        event["attributes"] = orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS).decode()
    return event


def project_of(cwd: str | None) -> str | None:
    """Return the name of a working folder, whichever system wrote it."""
    if not cwd:
        return None
    windows = "\\" in cwd and "/" not in cwd
    return (PureWindowsPath(cwd) if windows else PurePosixPath(cwd)).name or None


def _trigger(info: RunInfo) -> str:
    if info.agent_id is not None:
        return "delegation"
    return "interactive" if info.entrypoint in (None, "cli") else info.entrypoint
