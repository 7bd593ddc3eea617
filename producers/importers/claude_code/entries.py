"""One line of a transcript, checked.

Source: what Claude Code writes to `~/.claude/projects/<project>/<session>.jsonl` (1.0 to 2.1);
the format is not documented, so a field is used only where it has the type that it should have.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from runfold.producers.importers.lines import LineError, shown
from runfold.producers.importers.prices import Usage

CONVERSATION_KINDS = frozenset({"user", "assistant", "system"})
TITLE_FIELDS = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}
SYNTHETIC_MODEL = "<synthetic>"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST_TOKENS = 10**12


@dataclass(frozen=True, slots=True)
class Call:
    """What an assistant line says of the API message that it is a part of."""

    message_id: str | None
    request_id: str | None
    model: str
    usage: Usage
    finished: bool
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One user, assistant or system line.

    Shape: `blocks` are the content blocks, a plain text being one of type text; `call` is None
    where no API call stands behind the line; `forked_from` is session and line id of the line
    that this one repeats. `raw` is the whole object.
    Units: `at_us` microseconds since 1970 UTC.
    """

    kind: str
    uuid: str
    at_us: int
    session_id: str | None
    agent_id: str | None
    sidechain: bool
    forked_from: tuple[str, str] | None
    blocks: list[dict[str, Any]]
    call: Call | None
    raw: dict[str, Any]

    @property
    def unit_key(self) -> str:
        """What the line belongs to: its API message, or itself."""
        return self.uuid if self.call is None else message_key(self.call, self.uuid)


def message_key(call: Call, uuid: str) -> str:
    """Return the name of an API message, the same on every line and in every copy of it."""
    if not call.message_id:
        return call.request_id or uuid
    return f"{call.message_id}:{call.request_id}" if call.request_id else call.message_id


def kind_of(raw: dict[str, Any]) -> str:
    """Return the type of a line. Raises: LineError."""
    kind = raw.get("type")
    if kind is None:
        raise LineError("type is missing")
    if not isinstance(kind, str):
        raise LineError(f"type is {shown(kind)}, not a name")
    return kind


def read_entry(raw: dict[str, Any]) -> Entry:
    """Return the user, assistant or system line that `raw` is. Raises: LineError."""
    kind = kind_of(raw)
    message = raw.get("message")
    if message is not None and not isinstance(message, dict):
        raise LineError(f"message is {shown(message)}, not an object")
    if message is None and kind != "system":
        raise LineError("message is missing")
    uuid = optional_text(raw, "uuid")
    if not uuid:
        raise LineError("uuid is missing")
    for name in ("cwd", "gitBranch", "version", "parentUuid", "entrypoint"):
        optional_text(raw, name)
    return Entry(
        kind=kind,
        uuid=uuid,
        at_us=_time(raw),
        session_id=optional_text(raw, "sessionId") or None,
        agent_id=optional_text(raw, "agentId") or None,
        sidechain=raw.get("isSidechain") is True,
        forked_from=_forked_from(raw, uuid),
        blocks=_blocks(message or {}),
        call=_call(raw, message) if kind == "assistant" and message else None,
        raw=raw,
    )


def optional_text(raw: dict[str, Any], name: str) -> str | None:
    """Return a text field, None where it is absent. Raises: LineError."""
    value = raw.get(name)
    if value is not None and not isinstance(value, str):
        raise LineError(f"{name} is {shown(value)}, not a text")
    return value


def _time(raw: dict[str, Any]) -> int:
    value = raw.get("timestamp")
    if value is None:
        raise LineError("timestamp is missing")
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError) as error:
        raise LineError(f"timestamp is {shown(value)}, not a time") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        fits = _EARLIEST <= moment < _LATEST
    except OverflowError:
        fits = False
    if not fits:
        raise LineError(f"timestamp {shown(value)} is outside the years 2000 to 2199")
    return (moment - _EPOCH) // _MICROSECOND


def _forked_from(raw: dict[str, Any], own_uuid: str) -> tuple[str, str] | None:
    value = raw.get("forkedFrom")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise LineError(f"forkedFrom is {shown(value)}, not an object")
    session, uuid = optional_text(value, "sessionId"), optional_text(value, "messageUuid")
    return (session, uuid or own_uuid) if session else None


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise LineError(f"message.content is {shown(content)}, neither text nor array")
    for block in content:
        if not isinstance(block, dict):
            raise LineError(f"message.content holds {shown(block)}, not an object")
        kind = block.get("type")
        for name in _BLOCK_TEXTS.get(kind, ()) if isinstance(kind, str) else ():
            if not isinstance(block.get(name), str):
                raise LineError(f"{kind}.{name} is {shown(block.get(name))}, not a text")
    return content


_BLOCK_TEXTS = {"text": ("text",), "tool_use": ("id", "name"), "tool_result": ("tool_use_id",)}


def _call(raw: dict[str, Any], message: dict[str, Any]) -> Call | None:
    model = optional_text(message, "model")
    message_id, request_id = optional_text(message, "id"), optional_text(raw, "requestId")
    usage = message.get("usage")
    if usage is not None and not isinstance(usage, dict):
        raise LineError(f"message.usage is {shown(usage)}, not an object")
    if model == SYNTHETIC_MODEL or raw.get("isApiErrorMessage") is True:
        return None
    cost = raw.get("costUSD")
    if cost is not None and (not isinstance(cost, int | float) or not 0 <= cost < 100_000):
        raise LineError(f"costUSD is {shown(cost)}, not an amount")
    return Call(
        message_id=message_id,
        request_id=request_id,
        model=model or "",
        usage=_usage(usage or {}),
        finished=message.get("stop_reason") is not None,
        cost_usd=None if cost is None else float(cost),
    )


def _usage(usage: dict[str, Any]) -> Usage:
    kept = usage.get("cache_creation") or {}
    if not isinstance(kept, dict):
        raise LineError(f"usage.cache_creation is {shown(kept)}, not an object")
    hour = _tokens(kept, "ephemeral_1h_input_tokens")
    minutes = _tokens(kept, "ephemeral_5m_input_tokens")
    return Usage(
        input=_tokens(usage, "input_tokens"),
        output=_tokens(usage, "output_tokens"),
        cache_read=_tokens(usage, "cache_read_input_tokens"),
        cache_write=max(_tokens(usage, "cache_creation_input_tokens"), hour + minutes),
        cache_write_1h=hour,
    )


def _tokens(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    if value is None:
        return 0
    if value.__class__ is not int or not 0 <= value <= _MOST_TOKENS:
        raise LineError(f"usage.{name} is {shown(value)}, not a count of tokens")
    return int(value)
