"""Importing the session transcripts of Claude Code."""

from runfold.producers.importers.claude_code.files import find_transcripts
from runfold.producers.importers.claude_code.importer import (
    ClaudeCodeImport,
    StoredLookup,
    nothing_stored,
)
from runfold.producers.importers.claude_code.report import ImportReport
from runfold.producers.importers.claude_code.run_events import DEFAULT_IDLE, ImportOptions
from runfold.producers.importers.lines import BadLine

__all__ = [
    "DEFAULT_IDLE",
    "BadLine",
    "ClaudeCodeImport",
    "ImportOptions",
    "ImportReport",
    "StoredLookup",
    "find_transcripts",
    "nothing_stored",
]
