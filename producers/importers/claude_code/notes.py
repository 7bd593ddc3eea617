"""Lines that are an event by themselves."""

from __future__ import annotations

from typing import Any

from runfold.producers.importers.claude_code.entries import Entry
from runfold.producers.importers.claude_code.prompts import (
    INPUT_CHARACTERS,
    TITLE_CHARACTERS,
    is_interruption,
    shortened,
    texts_of,
)
from runfold.producers.importers.claude_code.report import TURN_STARTED
from runfold.producers.importers.claude_code.units import Note
from runfold.schemas.vocabulary import EventType

TURN_INTERRUPTED = "turn.interrupted"
CONTEXT_COMPACTED = "context.compacted"
CONTENT = "content"
"""Where a note keeps what the user or the model wrote, which an import may leave out."""


def note_of(entry: Entry, prompt: str | None = None) -> Note | None:
    """Return the event that a line is, None where it is none."""
    if entry.kind == "user":
        if prompt is not None:
            return _custom("turn", TURN_STARTED, **{CONTENT: shortened(prompt, TITLE_CHARACTERS)})
        return _custom("interrupted", TURN_INTERRUPTED) if is_interruption(entry) else None
    if entry.kind == "assistant":
        return _api_error(entry) if entry.raw.get("isApiErrorMessage") is True else None
    return _system_note(entry)


def _custom(suffix: str, name: str, **attributes: Any) -> Note:
    return Note(
        suffix, {"event_type": EventType.CUSTOM.value, "name": name, "attributes": attributes}
    )


def _api_error(entry: Entry) -> Note:
    kind = entry.raw.get("error")
    message = " ".join(texts_of(entry.blocks))
    fields = {
        "event_type": EventType.ERROR_RAISED.value,
        "error_type": kind if isinstance(kind, str) and kind else "api_error",
        "error_message": shortened(message, INPUT_CHARACTERS) or None,
        "attributes": _numbers(entry.raw, {"apiErrorStatus": "http_status"}),
    }
    return Note("error", fields)


def _system_note(entry: Entry) -> Note | None:
    subtype = entry.raw.get("subtype")
    if subtype == "compact_boundary":
        metadata = entry.raw.get("compactMetadata")
        known = metadata if isinstance(metadata, dict) else {}
        attributes = _numbers(known, {"preTokens": "pre_tokens", "postTokens": "post_tokens"})
        if isinstance(known.get("trigger"), str):
            attributes["trigger"] = known["trigger"]
        return _custom("compacted", CONTEXT_COMPACTED, **attributes)
    if subtype == "api_error":
        error = entry.raw.get("error")
        status = error.get("status") if isinstance(error, dict) else None
        fields = {
            "event_type": EventType.ERROR_RAISED.value,
            "error_type": "api_retry",
            "error_message": f"HTTP {status}" if isinstance(status, int) else None,
            "attributes": _numbers(entry.raw, {"retryAttempt": "retry_attempt"}),
        }
        return Note("error", fields)
    return None


def _numbers(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {
        wanted: values[name] for name, wanted in names.items() if values.get(name).__class__ is int
    }
