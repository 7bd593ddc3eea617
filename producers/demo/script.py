"""One made-up run: a clock, a sequence and the events so far."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from random import Random
from typing import Any

from runfold.producers.demo.agents import MODELS
from runfold.schemas.vocabulary import EventType, RunStatus

SECOND_US = 1_000_000
HEARTBEAT_EVERY_US = 30 * SECOND_US


def digest(*parts: object, size: int = 10) -> str:
    """Return `size` bytes in hex that follow from `parts`."""
    text = "\x00".join(str(part) for part in parts)
    return blake2b(text.encode(), digest_size=size).hexdigest()


@dataclass(slots=True)
class Process:
    """A process that mints event ids and numbers its runs from 1."""

    producer: str
    runs: int = 0

    def next_run(self) -> str:
        """Return the producer of one more run."""
        self.runs += 1
        return f"{self.producer}.{self.runs}"


@dataclass(slots=True)
class RunScript:
    """Writes the events of one run, one after the other.

    Units: `clock_us` microseconds since 1970 UTC, where the run has come to.
    """

    run_id: str
    process: Process
    rng: Random
    clock_us: int
    events: list[dict[str, Any]] = field(default_factory=list)
    children: list[RunScript] = field(default_factory=list)
    _producer: str = ""
    _sequence: int = 0
    _spans: int = 0
    _heartbeat_us: int = 0

    def __post_init__(self) -> None:
        self._producer = self.process.next_run()
        self._heartbeat_us = self.clock_us + HEARTBEAT_EVERY_US

    def wait(self, low_seconds: float, high_seconds: float) -> None:
        """Let time pass, with the heartbeats that fall into it."""
        until = self.clock_us + int(self.rng.uniform(low_seconds, high_seconds) * SECOND_US)
        while self._heartbeat_us < until:
            self.clock_us = self._heartbeat_us
            self.emit(EventType.RUN_HEARTBEAT)
            self._heartbeat_us += HEARTBEAT_EVERY_US
        self.clock_us = until

    def emit(self, event_type: EventType, **fields: Any) -> None:
        """Add one event at the present time."""
        self._sequence += 1
        event: dict[str, Any] = {
            "event_id": f"{self._producer}-{self._sequence}",
            "run_id": self.run_id,
            "event_type": event_type.value,
            "occurred_at": self.clock_us,
        }
        attributes = fields.pop("attributes", None)
        if attributes:
            event["attributes"] = json.dumps(attributes, sort_keys=True)
        for name, value in fields.items():
            if value is not None:
                event[name] = value.value if isinstance(value, StrEnum) else value
        self.events.append(event)

    def call_model(self, model: str, *, context_tokens: int, output_tokens: int) -> None:
        """Ask a model; most of the context is read from its cache."""
        self.wait(0.8, 2.0 + output_tokens / 60)
        cached = int(context_tokens * self.rng.uniform(0.6, 0.95))
        written = int((context_tokens - cached) * self.rng.uniform(0.2, 0.7))
        fresh = context_tokens - cached - written
        price = MODELS[model]
        million = 1_000_000
        cost = (fresh + 1.25 * written + 0.1 * cached) * price.input_usd / million
        cost += output_tokens * price.output_usd / million
        self.emit(
            EventType.LLM_CALLED,
            provider=price.provider,
            model=model,
            input_tokens=fresh,
            output_tokens=output_tokens,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            cost_usd=round(cost, 6),
        )

    def open_tool(self, tool_name: str, **attributes: Any) -> str:
        """Begin a tool call and return its span."""
        self._spans += 1
        span_id = digest(self.run_id, self._spans, size=8)
        self.emit(
            EventType.TOOL_STARTED, tool_name=tool_name, span_id=span_id, attributes=attributes
        )
        return span_id

    def close_tool(self, tool_name: str, span_id: str, *, began_us: int, failed: str = "") -> None:
        """End a tool call; `failed` says why it failed, empty where it did not."""
        self.emit(
            EventType.TOOL_ENDED,
            tool_name=tool_name,
            span_id=span_id,
            status=RunStatus.FAILURE if failed else RunStatus.SUCCESS,
            duration_ms=(self.clock_us - began_us) / 1000,
            error_message=failed or None,
        )

    def use_tool(self, tool_name: str, *, seconds: float = 2.0, failed: str = "") -> None:
        """Call a tool that takes up to twice `seconds`."""
        began_us = self.clock_us
        span_id = self.open_tool(tool_name)
        self.wait(0.05, 2 * seconds)
        self.close_tool(tool_name, span_id, began_us=began_us, failed=failed)

    def raise_error(self, error_type: str, message: str) -> None:
        """Record an error that the run met."""
        self.emit(EventType.ERROR_RAISED, error_type=error_type, error_message=message)
