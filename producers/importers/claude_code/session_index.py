"""The first pass: which files have to be read together, and which lines repeat which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from runfold.producers.importers.claude_code.entries import (
    CONVERSATION_KINDS,
    TITLE_FIELDS,
    Entry,
    kind_of,
    optional_text,
    read_entry,
)
from runfold.producers.importers.claude_code.files import TranscriptFile
from runfold.producers.importers.claude_code.report import ImportReport
from runfold.producers.importers.lines import BadLine, LineError, read_objects

LineId = tuple[str, str]
"""Session and uuid of a line."""

AGENT_FILE_PREFIX = "agent-"
_SUBAGENTS_FOLDER = "subagents"


class SessionIndex:
    """What one pass over all files tells of how they hang together.

    Shape: a few machine words for each line, whatever its size.
    """

    def __init__(self) -> None:
        self._leader: list[int] = []
        self._files: list[TranscriptFile] = []
        self._first_file: dict[int, int] = {}
        self._repeats: dict[LineId, LineId] = {}
        self._forks: set[int] = set()

    def add(self, file: TranscriptFile, report: ImportReport) -> None:
        """Read `file` and note what it shares with others; what is wrong in it is reported."""
        number = len(self._files)
        self._files.append(file)
        self._leader.append(number)
        self._meet(number, f"session {session_of_path(file.path)}")
        for entry in checked_entries(file, report):
            session_id = entry.session_id or session_of_path(file.path)
            self._meet(number, f"session {session_id}")
            self._meet(number, entry.unit_key)
            if entry.forked_from is not None:
                self._repeats[session_id, entry.uuid] = entry.forked_from
                self._forks.add(number)
                self._meet(number, f"session {entry.forked_from[0]}")

    def groups(self) -> Iterator[list[TranscriptFile]]:
        """Yield the files in groups that share no session and no line with each other.

        Shape: forks come after the rest of their group, the older file first.
        """
        members: dict[int, list[int]] = {}
        for number in range(len(self._files)):
            members.setdefault(self._find(number), []).append(number)
        for numbers in members.values():
            numbers.sort(key=lambda each: (each in self._forks, self._files[each].modified_ns))
            yield [self._files[each] for each in numbers]

    def original(self, line: LineId) -> LineId:
        """Return the line that `line` repeats, by way of all forks; itself where it is no copy."""
        passed = set()
        while line in self._repeats and line not in passed:
            passed.add(line)
            line = self._repeats[line]
        return line

    def _meet(self, number: int, name: str) -> None:
        other = self._first_file.setdefault(hash(name), number)
        if other != number:
            self._leader[self._find(number)] = self._find(other)

    def _find(self, number: int) -> int:
        leader = self._leader
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number


def build_index(
    files: Iterable[TranscriptFile], report: ImportReport, on_file: Callable[[int], None]
) -> SessionIndex:
    """Read all `files` once; `on_file` is told the bytes of each."""
    index = SessionIndex()
    for file in files:
        report.files += 1
        report.read_bytes += file.size_bytes
        try:
            index.add(file, report)
        except OSError as error:
            reason = f"the file cannot be read: {error.strerror or error}"
            report.bad_lines.append(BadLine(file.path, 0, reason))
        on_file(file.size_bytes)
    return index


def checked_entries(file: TranscriptFile, report: ImportReport) -> Iterator[Entry]:
    """Yield the conversation lines of `file`, report the bad ones and count the others."""
    for number, found in read_objects(file.path, file.size_bytes):
        report.lines += 1
        if isinstance(found, BadLine):
            report.bad_lines.append(found)
            continue
        try:
            kind = kind_of(found)
            if kind in CONVERSATION_KINDS:
                yield read_entry(found)
            else:
                report.other_lines[kind] += 1
                optional_text(found, TITLE_FIELDS.get(kind, "type"))
        except LineError as error:
            report.bad_lines.append(BadLine(file.path, number, str(error)))


def session_of_path(path: Path) -> str:
    """Return the session that a file belongs to by its place, for lines that do not say it."""
    for parent in path.parents:
        if parent.name == _SUBAGENTS_FOLDER:
            return parent.parent.name
    return path.stem
