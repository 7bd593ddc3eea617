"""The words that events and runs are described with.

An event type outside this list is kept and counted, never refused.
"""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What happened, in the past tense."""

    RUN_STARTED = "run.started"
    RUN_UPDATED = "run.updated"
    RUN_HEARTBEAT = "run.heartbeat"
    RUN_ENDED = "run.ended"
    TOOL_STARTED = "tool.started"
    TOOL_ENDED = "tool.ended"
    LLM_CALLED = "llm.called"
    DECISION_MADE = "decision.made"
    ERROR_RAISED = "error.raised"
    METRIC_RECORDED = "metric.recorded"
    LOG_WRITTEN = "log.written"
    SPAN_ENDED = "span.ended"
    TRANSCRIPT_SAVED = "transcript.saved"
    COMMIT_ASSOCIATED = "commit.associated"
    CUSTOM = "custom"


DROPPED_EVENT = "events.dropped"
"""The name of the `custom` event by which a client declares what it had to give up."""


class RunStatus(StrEnum):
    """How a run stands. `orphaned` is given by readers, from heartbeats; the fold has no clock."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"


class DeadLetterReason(StrEnum):
    """Why a record could not become an event. Stable: these are stored and counted by."""

    NO_KEY = "no_key"
    NO_VALUE = "no_value"
    TOO_LARGE = "too_large"
    NOT_AVRO = "not_avro"
    UNKNOWN_SCHEMA = "unknown_schema"
    BAD_BODY = "bad_body"
    MISSING_ID = "missing_id"
    MISSING_TYPE = "missing_type"
    KEY_MISMATCH = "key_mismatch"
    BAD_TIME = "bad_time"
    BAD_ITEM = "bad_item"
    OTHER_HOST = "other_host"


TERMINAL_STATUSES = frozenset(
    {
        RunStatus.SUCCESS.value,
        RunStatus.FAILURE.value,
        RunStatus.PARTIAL.value,
        RunStatus.TIMEOUT.value,
        RunStatus.CANCELLED.value,
    }
)

FAILED_TOOL_STATUSES = frozenset({RunStatus.FAILURE.value, RunStatus.TIMEOUT.value})
"""With one of these a tool ended badly."""

BLANKS = " \t\r\n"
STATUS_ALIASES = {
    "failed": RunStatus.FAILURE,
    "error": RunStatus.FAILURE,
    "completed": RunStatus.SUCCESS,
    "succeeded": RunStatus.SUCCESS,
    "ok": RunStatus.SUCCESS,
    "canceled": RunStatus.CANCELLED,
}


def canonical_status(status: str) -> str:
    """Return the status that `status` is a spelling of, or `status` itself where it is none."""
    folded = status.strip(BLANKS).lower()
    return str(STATUS_ALIASES.get(folded, folded))


def statuses_spelled(status: str) -> list[str]:
    """Return the lower-case spellings that mean `status`, itself first."""
    return [status, *(alias for alias, meant in STATUS_ALIASES.items() if meant == status)]
