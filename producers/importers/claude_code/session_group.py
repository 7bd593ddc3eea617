"""The second pass: the lines of files that belong together, made into units and runs."""

from __future__ import annotations

from typing import Any

from runfold.producers.importers.claude_code.entries import (
    CONVERSATION_KINDS,
    TITLE_FIELDS,
    Call,
    Entry,
    kind_of,
    message_key,
    read_entry,
)
from runfold.producers.importers.claude_code.files import TranscriptFile
from runfold.producers.importers.claude_code.notes import note_of
from runfold.producers.importers.claude_code.prompts import is_interruption, prompt_of
from runfold.producers.importers.claude_code.session_index import SessionIndex, session_of_path
from runfold.producers.importers.claude_code.subagents import (
    AGENT_TOOLS,
    Sidechains,
    agent_of_file,
    link,
    read_meta,
)
from runfold.producers.importers.claude_code.tool_results import end_tool, finished_agent
from runfold.producers.importers.claude_code.units import (
    Message,
    RunInfo,
    Tool,
    Unit,
    run_id_of,
)
from runfold.producers.importers.lines import BadLine, LineError, read_objects

_PROFILE = {
    "cwd": "cwd",
    "git_branch": "gitBranch",
    "version": "version",
    "entrypoint": "entrypoint",
}
_TITLE_RANKS = ("summary", "ai-title", "custom-title")


class SessionGroup:
    """Units and runs of files that share sessions or lines.

    Shape: `units` by key, in the order in which they were met; `runs` by run id.
    """

    def __init__(self, index: SessionIndex) -> None:
        self.units: dict[str, Unit] = {}
        self.runs: dict[str, RunInfo] = {}
        self.bad_lines: list[BadLine] = []
        self._index = index
        self._sidechains = Sidechains()
        self._tools: dict[tuple[str, str], tuple[Unit, Tool]] = {}
        self._last_call: dict[str, tuple[Call, str]] = {}
        self._titles: dict[str, tuple[int, str]] = {}
        self._summaries: dict[str, str] = {}
        self._forked_from: dict[str, str] = {}

    def read(self, file: TranscriptFile) -> None:
        """Take in the lines of `file`; those that the first pass reported are left out."""
        for _, found in read_objects(file.path, file.size_bytes):
            if isinstance(found, BadLine):
                continue
            try:
                kind = kind_of(found)
                if kind in TITLE_FIELDS:
                    self._note_title(kind, found)
                elif kind in CONVERSATION_KINDS:
                    self._take(read_entry(found), file)
            except LineError:  # reported by the first pass
                continue

    def finish(self) -> None:
        """Give the runs their titles and origins, when all files are read."""
        for unit in self.units.values():
            for uuid in unit.marks.keys() & self._summaries.keys():
                for session_id in unit.claims:
                    self._offer_title(session_id, 0, self._summaries[uuid])
        for session_id, (_, title) in self._titles.items():
            if session_id in self.runs:
                self.runs[session_id].title = title
        for session_id, origin in self._forked_from.items():
            if session_id in self.runs:
                self.runs[session_id].forked_from = origin

    def _take(self, entry: Entry, file: TranscriptFile) -> None:
        own = entry.session_id or session_of_path(file.path), entry.uuid
        session_id, uuid = self._index.original(own)
        run = self._run_of(entry, uuid, session_id, file)
        copied = (session_id, uuid) != own
        run.native = run.native or not copied
        if entry.forked_from is not None:
            self._forked_from.setdefault(own[0], entry.forked_from[0])
        for name, field in _PROFILE.items():
            if getattr(run, name) is None and entry.raw.get(field):
                setattr(run, name, entry.raw[field])
        unit = self._unit_of(entry, uuid, run)
        unit.claims.add(run.run_id)
        unit.marks.setdefault(uuid, entry.at_us)

    def _run_of(self, entry: Entry, uuid: str, session_id: str, file: TranscriptFile) -> RunInfo:
        agent_id = agent_of_file(entry, file.path)
        inline = agent_id is None and entry.sidechain
        if inline:
            agent_id = self._sidechains.agent_id(entry, uuid)
        run_id = run_id_of(session_id, agent_id)
        run = self.runs.get(run_id)
        if run is None or run.modified_ns < 0:
            run = self._run(session_id, agent_id)
            run.modified_ns = file.modified_ns
            if inline:
                self._sidechains.began(run, entry)
            elif agent_id is not None:
                problem = read_meta(file.path, run)
                self.bad_lines += [problem] if problem else []
        return run

    def _run(self, session_id: str, agent_id: str | None) -> RunInfo:
        run_id = run_id_of(session_id, agent_id)
        return self.runs.setdefault(run_id, RunInfo(run_id, session_id, agent_id))

    def _unit_of(self, entry: Entry, uuid: str, run: RunInfo) -> Unit:
        """Return the unit that the line is a part of, with what the line says taken into it."""
        if entry.call is not None:
            return self._message(entry, entry.call, uuid, run)
        results = [each for each in entry.blocks if each.get("type") == "tool_result"]
        if entry.kind == "user" and results:
            ended = [self._end_tool(each, entry, run) for each in results]
            found = next((unit for unit in ended if unit is not None), None)
            if found is not None:
                return found
        unit = self.units.setdefault(uuid, Unit(uuid))
        if entry.kind == "user" and not results:
            self._take_prompt(unit, entry, run)
        else:
            unit.note = note_of(entry)
            unit.neutral = not results
            if entry.kind == "assistant" and unit.note is not None:
                unit.neutral, unit.ending = False, "error"
        return unit

    def _message(self, entry: Entry, call: Call, uuid: str, run: RunInfo) -> Unit:
        key = message_key(call, uuid)
        last = self._last_call.get(run.run_id)
        if last and call.message_id and last[0].message_id == call.message_id:
            key = key if last[0].request_id and call.request_id else last[1]
        self._last_call[run.run_id] = call, key
        unit = self.units.setdefault(key, Unit(key))
        message = unit.message
        if message is None:
            message = Message(call.model, call.usage, call.finished, call.cost_usd, call.request_id)
            unit.message = message
        else:
            message.usage |= call.usage
            message.finished |= call.finished
            message.model = message.model or call.model
            message.cost_usd = max(
                (each for each in (message.cost_usd, call.cost_usd) if each is not None),
                default=None,
            )
        for block in entry.blocks:
            if block.get("type") == "tool_use":
                self._start_tool(block, unit, message, run, entry.at_us)
        return unit

    def _start_tool(
        self, block: dict[str, Any], unit: Unit, message: Message, run: RunInfo, at_us: int
    ) -> None:
        tool_id, given = block["id"], block.get("input")
        if tool_id not in message.tools:
            tool = Tool(tool_id, block["name"], at_us, given if isinstance(given, dict) else {})
            message.tools[tool_id] = tool
            if tool.name in AGENT_TOOLS:
                self._sidechains.expect(run, tool)
        self._tools[run.run_id, tool_id] = unit, message.tools[tool_id]

    def _end_tool(self, block: dict[str, Any], entry: Entry, run: RunInfo) -> Unit | None:
        unit, tool = self._tools.get((run.run_id, block["tool_use_id"]), (None, None))
        if unit is None or tool is None:
            return None
        result = entry.raw.get("toolUseResult")
        end_tool(tool, block, result, at_us=entry.at_us)
        agent = finished_agent(result)
        child = self._sidechains.child_of(run.session_id, tool)
        done = child is not None
        if agent is not None:
            child, done = self._run(run.session_id, agent[0]), agent[1]
            link(child, run, tool)
        if child is not None and done and tool.status:
            child.completed.append((entry.at_us, tool.tool_id, tool.status))
        return unit

    def _take_prompt(self, unit: Unit, entry: Entry, run: RunInfo) -> None:
        if is_interruption(entry):
            unit.ending = "interrupted"
            unit.note = note_of(entry)
            return
        prompt = prompt_of(entry)
        unit.neutral = prompt is None
        if prompt is None:
            return
        if prompt and run.first_prompt is None:
            run.first_prompt = prompt
        if run.agent_id is None:
            unit.note = note_of(entry, prompt)

    def _note_title(self, kind: str, raw: dict[str, Any]) -> None:
        title, leaf, session_id = (
            raw.get(TITLE_FIELDS[kind]),
            raw.get("leafUuid"),
            raw.get("sessionId"),
        )
        if not isinstance(title, str) or not title:
            return
        if isinstance(session_id, str):
            self._offer_title(session_id, _TITLE_RANKS.index(kind), title)
        elif isinstance(leaf, str):
            self._summaries[leaf] = title

    def _offer_title(self, session_id: str, rank: int, title: str) -> None:
        if rank >= self._titles.get(session_id, (0, ""))[0]:
            self._titles[session_id] = rank, title
