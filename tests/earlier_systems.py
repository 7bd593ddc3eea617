"""What clients of the earlier systems send, as the events that become of it.

Units: `at` is seconds after the noon of tests.lakes_of_events.
"""

from __future__ import annotations

import json
from typing import Any

from runfold.schemas.event import Event
from tests.lakes_of_events import event

SESSION = "s-1@host-1"
SYSTEM = {"system.project_name": "omni", "system.os": "Linux", "system.python_version": "3.12"}
OF_PROJECT = {"project": "omni", "agent_name": "omni", "agent_version": "1.0", "user_id": "u"}


def framework_event(number: int, at: float, **said: Any) -> Event:
    """Return what the collector makes of an item that the Agent Framework sent."""
    attributes = {
        "event_type": "hook_decision", "hook_name": "pre", "mode": "direct",
        "execution_type": "llm", "success": True, "error_count": 0, "working_dir": "/w",
        "model_tier": "haiku",
    }  # fmt: skip
    columns = {
        "agent_name": "guard", "decision": "APPROVE", "duration_ms": 100.0, "model": "m",
        "host": "host-1",
    }  # fmt: skip
    for name, value in said.items():
        (columns if name in columns else attributes)[name] = value
    return event(
        SESSION,
        "decision.made",
        at,
        event_id=f"af-{number}",
        name="hook_decision",
        session_id="s-1",
        tool_name="Bash",
        attributes=json.dumps(attributes),
        **columns,
    )


def automagik(
    kind: str, at: float, name: str, *, beside: dict[str, Any] | None = None, **said: Any
) -> Event:
    """Return what the Automagik clients record, with other attributes where `beside` has some."""
    attributes = json.dumps(SYSTEM if beside is None else beside)
    return event("a-run", kind, at, name=name, attributes=attributes, **OF_PROJECT | said)


def a_bit_of_each(at: float) -> list[Event]:
    """Return so much of the Agent Framework and of Automagik that each of their panels has it."""
    web = {"service.name": "web"}
    counter, histogram = {"metric_type": "counter"}, {"metric_type": "histogram"}
    started = event(SESSION, "run.started", at, job_type="agent_framework", session_id="s-1")
    late = event(
        SESSION, "custom", at + 9, name="cost.added", cost_usd=0.5, session_id="s-1",
        attributes='{"generation_id":"gen-1"}',
    )  # fmt: skip
    tokens = {
        "prompt_tokens": 100, "cached_tokens": 40, "completion_tokens": 20, "reasoning_tokens": 5,
        "total_tokens": 120,
    }  # fmt: skip
    return [
        started,
        framework_event(1, at + 1, cost=0.25, client_version="1.0", **tokens),
        framework_event(2, at + 2, duration_ms=300.0, generation_id="gen-1", **tokens),
        framework_event(
            3, at + 3, decision="DENY", agent_name="clerk", execution_type="typescript", model="n"
        ),
        framework_event(
            4, at + 4, decision="ERROR", agent_name="clerk", success=False, host="host-2"
        ),
        late,
        automagik("custom", at, "omni.used", duration_ms=40.0),
        automagik("error.raised", at + 1, "automagik.error", error_type="E", error_message="no"),
        automagik("span.ended", at + 2, "GET /", beside=web, duration_ms=20.0, project="tools"),
        automagik("metric.recorded", at + 1, "depth", beside={"metric_type": "gauge"}, value=4.0),
        automagik("metric.recorded", at + 2, "sent", beside=counter, value=2.5),
        automagik("metric.recorded", at + 3, "took", beside=web | histogram, value=9.5),
        automagik("metric.recorded", at + 4, "took", beside=histogram, value=8.5, project="tools"),
        *(
            automagik(
                "log.written", at + number, severity, beside=beside, project=project
            )
            for number, (severity, beside, project) in enumerate(
                (
                    ("error", {"severity_text": "ERROR", "message": "it broke"}, "omni"),
                    ("warn", {"severity_text": "WARN", "message": "it may"}, "omni"),
                    ("info", web | {"severity_text": "INFO", "message": "it works"}, "tools"),
                )
            )
        ),
    ]  # fmt: skip
