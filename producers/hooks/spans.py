"""What a tracing library tells of a span: how it begins, ends and fails."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from runfold.producers.genai_mapping import SpanKind
from runfold.producers.tame import message_of
from runfold.schemas.vocabulary import RunStatus


@dataclass(frozen=True, slots=True)
class SpanError:
    """How a span failed; `passed_on` says that by what a span below it did."""

    error_type: str
    message: str
    cancelled: bool = False
    passed_on: bool = False

    @property
    def status(self) -> str:
        """The status of what ended so."""
        return RunStatus.CANCELLED.value if self.cancelled else RunStatus.FAILURE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanStart:
    """A span that begins.

    Shape: `key` names it, `parent` the span that it is below; `run_id` is that of its run, should
    it open one. `columns` are fields of `Event`.
    Units: `occurred_at` in microseconds since 1970 UTC.
    """

    key: Hashable
    parent: Hashable | None
    run_id: str
    kind: SpanKind
    name: str
    occurred_at: int
    columns: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEnd:
    """The end of a span, with what became known of it. Units: as in `SpanStart`."""

    occurred_at: int
    kind: SpanKind | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    error: SpanError | None = None


def error_of(error: BaseException) -> SpanError:
    """Return how a span failed by `error`; being stopped or interrupted is no failure."""
    kind = type(error).__qualname__
    return SpanError(kind, message_of(error), cancelled=is_cancelling(kind))


def is_cancelling(error_type: str) -> bool:
    """Say whether errors of a type, by its name, stop what runs and are no failure."""
    return error_type.rpartition(".")[2] in _CANCELLING


_CANCELLING = (
    "CancelledError",
    "GeneratorExit",
    "GraphInterrupt",  # LangGraph's, by which an agent waits for a human
    "KeyboardInterrupt",
    "SystemExit",
)
