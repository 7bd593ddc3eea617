"""What the Agent Framework's clients send, checked.

Source: the API of its collector at two times. The first generation needed four fields and took any
word for a decision; the second needs more and has closed lists. What both know has one limit here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from runfold.producers.coercion import occurred_at_us

MOST_EVENTS = 100
MOST_MESSAGES = 10_000


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _time(text: str) -> str:
    if text and time_us(text) is None:
        raise PydanticCustomError("invalid_string", "Invalid datetime")
    return text


def time_us(text: str) -> int | None:
    """Return an ISO time in microseconds since 1970 UTC, None where it is none of 2000 to 2199.

    Shape: a time without a zone is UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return occurred_at_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Id = Annotated[str, Field(min_length=1, max_length=255)]
_Word = Annotated[str, Field(min_length=1, max_length=32)]
_Tokens = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10_000_000)]
_Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=1000)]
_Cost = Annotated[float, Field(ge=0, le=10_000)]

_KEEPING_ALL = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Item(TypedDict, total=False):
    hostId: Required[_Id]
    sessionId: Required[_Id]
    eventType: Required[_Name]
    agentName: Required[_Name]
    hookName: _Name
    toolName: _Name
    mode: Literal["direct", "lazy"]
    executionType: Literal["llm", "typescript"]
    decision: _Word
    decisionReason: Annotated[str, Field(max_length=5000)]
    workingDir: Annotated[str, Field(min_length=1, max_length=1000)]
    latencyMs: Annotated[float, Field(ge=0, le=3600000)]
    success: bool
    errorCount: _Count
    warningCount: _Count
    modelTier: Literal["haiku", "sonnet", "opus"]
    modelName: _Name
    timestamp: Annotated[str, Field(max_length=50), AfterValidator(_time)]
    toolInput: dict[str, Any]
    extraData: dict[str, Any]
    promptTokens: _Tokens
    completionTokens: _Tokens
    totalTokens: _Tokens
    cachedTokens: _Tokens
    reasoningTokens: _Tokens
    cost: _Cost
    clientVersion: Annotated[str, Field(max_length=20)]
    generationId: Annotated[str, Field(max_length=512)]


"""One event of a batch, of either generation."""


class Batch(TypedDict):
    events: Annotated[list[Item], Field(min_length=1, max_length=MOST_EVENTS)]


class LateCost(TypedDict, total=False):
    hostId: Required[_Id]
    sessionId: Required[_Id]
    generationId: Required[Annotated[str, Field(min_length=1, max_length=512)]]
    cost: Required[_Cost]
    agentName: _Name
    modelName: _Name
    promptTokens: _Tokens
    completionTokens: _Tokens
    cachedTokens: _Tokens
    reasoningTokens: _Tokens


"""What a generation cost, and its tokens, where that is known after its event only."""


class Message(TypedDict, total=False):
    role: Required[Literal["user", "assistant", "tool_result"]]
    content: Required[Annotated[str, Field(max_length=1000000)]]
    index: Required[Annotated[int, BeforeValidator(_whole), Field(ge=0)]]


class Transcript(TypedDict, total=False):
    sessionId: Required[_Id]
    hostId: Required[_Id]
    transcript: Required[Annotated[list[Message], Field(max_length=MOST_MESSAGES)]]


"""All messages of a session so far."""

for _kind in (Item, LateCost, Message, Transcript):
    with_config(_KEEPING_ALL)(_kind)

ITEM = TypeAdapter(Item)
BATCH = TypeAdapter(Batch)
"""For its description: items are checked one by one."""
LATE_COST = TypeAdapter(LateCost)
TRANSCRIPT = TypeAdapter(Transcript)

_REQUIRED_NOW = {
    "hookName": "string",
    "toolName": "string",
    "mode": "'direct' | 'lazy'",
    "executionType": "'llm' | 'typescript'",
    "decision": "string",
    "workingDir": "string",
    "latencyMs": "number",
    "success": "boolean",
    "errorCount": "number",
}
_WORDS_NOW = {
    "eventType": ("agent_execution", "hook_decision", "error", "escalation", "commit"),
    "decision": ("APPROVE", "CONTINUE", "DENY", "CONFIRM", "SUCCESS", "ERROR"),
}
_MODEL = ("modelTier", "modelName")


class Unmet(TypedDict):
    """A rule between fields, or of the second generation, that an item does not keep."""

    field: str
    expected: str
    options: tuple[str, ...]


def unmet_rules(item: Mapping[str, Any], *, strict: bool) -> Iterator[Unmet]:
    """Yield what is wrong with an item whose fields are each right.

    Shape: the second generation's rules hold where `strict` is set.
    """
    if item.get("executionType") == "llm":
        for name in _MODEL:
            if name not in item:
                yield Unmet(field=name, expected="string", options=())
    if not strict:
        return
    for name, expected in _REQUIRED_NOW.items():
        if name not in item:
            yield Unmet(field=name, expected=expected, options=())
    for name, words in _WORDS_NOW.items():
        if name in item and item[name] not in words:
            yield Unmet(field=name, expected="", options=words)
