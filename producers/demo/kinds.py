"""What the runs of each kind of agent do."""

from __future__ import annotations

from random import Random

from runfold.producers.demo.agents import FAILURES, SUB_AGENTS, TOOLS, Agent
from runfold.producers.demo.script import RunScript, digest
from runfold.schemas.vocabulary import EventType, RunStatus


def play(
    script: RunScript, agent: Agent, *, outcome: RunStatus | None, retry_of: str | None
) -> None:
    """Write a whole run of `agent`; it dies without an end where `outcome` is None."""
    _start(script, agent, retry_of)
    {"coding": _code, "cron": _work_on_schedule, "crawler": _crawl, "chat": _chat}[agent.kind](
        script, agent, outcome
    )
    if outcome is not None:
        _end(script, outcome)


def _start(script: RunScript, agent: Agent, retry_of: str | None) -> None:
    trigger = {"coding": "ticket", "cron": "schedule", "crawler": "queue", "chat": "message"}
    coding = agent.kind == "coding"
    script.emit(
        EventType.RUN_STARTED,
        agent_name=agent.name,
        agent_owner=agent.owner,
        agent_version=f"1.{sum(agent.name.encode()) % 9}.{sum(agent.owner.encode()) % 7}",
        job_type=agent.kind,
        trigger_type="retry" if retry_of else trigger[agent.kind],
        project=agent.project,
        environment="production" if script.rng.random() < 0.8 else "staging",
        host=agent.host,
        session_id=f"ses-{digest(script.run_id, 'session', size=5)}",
        git_repo=f"example/{agent.project}" if coding else None,
        git_branch=f"agent/{digest(script.run_id, 'branch', size=3)}" if coding else None,
        attributes={"demo": True, **({"retry_of": retry_of} if retry_of else {})},
    )


def _end(script: RunScript, outcome: RunStatus) -> None:
    script.wait(0.1, 1.0)
    failed = outcome in (RunStatus.FAILURE, RunStatus.TIMEOUT)
    error_type, message = script.rng.choice(FAILURES)
    if outcome is RunStatus.TIMEOUT:
        error_type, message = "TimeoutError", "the run took longer than it may"
    if failed:
        script.raise_error(error_type, message)
    script.emit(
        EventType.RUN_ENDED,
        status=outcome,
        error_type=error_type if failed else None,
        error_message=message if failed else None,
    )


def _code(script: RunScript, agent: Agent, outcome: RunStatus | None) -> None:
    rng = script.rng
    context = rng.randint(8_000, 25_000)
    steps = rng.randint(15, 55)
    for step in range(steps):
        context = min(context + rng.randint(200, 3_500), 190_000)
        script.call_model(agent.model, context_tokens=context, output_tokens=rng.randint(40, 1_400))
        if step % 14 == 5 and rng.random() < 0.8:
            _delegate(script, agent)
        if rng.random() < 0.04:
            script.raise_error("OverloadedError", "529: the model is overloaded, retrying in 4 s")
            script.wait(4, 6)
        tool = rng.choice(TOOLS["coding"])
        if tool == "Bash" and rng.random() < 0.1:
            _ask_permission(script)
        failed = "exit code 1" if rng.random() < 0.07 else ""
        script.use_tool(tool, seconds=8 if tool == "Bash" else 0.5, failed=failed)
    if outcome is RunStatus.SUCCESS:
        commit = digest(script.run_id, "commit", size=20)
        script.emit(EventType.COMMIT_ASSOCIATED, git_commit_hash=commit, git_commit_source="agent")
    script.emit(
        EventType.METRIC_RECORDED, name="lines_changed", value=rng.randint(3, 700), unit="lines"
    )


def _delegate(parent: RunScript, agent: Agent) -> None:
    rng = parent.rng
    name = rng.choice(SUB_AGENTS)
    began_us, span_id = parent.clock_us, parent.open_tool("Task", subagent_type=name)
    parent.wait(0.1, 0.4)
    child = RunScript(
        run_id=f"{name}-{digest(parent.run_id, len(parent.children), size=5)}",
        process=parent.process,
        rng=Random(rng.random()),
        clock_us=parent.clock_us,
    )
    parent.children.append(child)
    child.emit(
        EventType.RUN_STARTED,
        agent_name=name,
        agent_owner=agent.owner,
        parent_run_id=parent.run_id,
        parent_span_id=span_id,
        job_type="subagent",
        trigger_type="delegation",
        project=agent.project,
        host=agent.host,
        attributes={"demo": True},
    )
    context = child.rng.randint(4_000, 9_000)
    for _ in range(child.rng.randint(4, 14)):
        context += child.rng.randint(200, 2_500)
        child.call_model(
            "claude-haiku-4-5", context_tokens=context, output_tokens=child.rng.randint(30, 500)
        )
        child.use_tool(child.rng.choice(("Read", "Grep", "Bash")), seconds=0.6)
    failed = child.rng.random() < 0.08
    _end(child, RunStatus.FAILURE if failed else RunStatus.SUCCESS)
    parent.wait(
        (child.clock_us - parent.clock_us) / 1e6, (child.clock_us - parent.clock_us) / 1e6 + 0.2
    )
    parent.close_tool("Task", span_id, began_us=began_us, failed="failed" if failed else "")


def _ask_permission(script: RunScript) -> None:
    denied = script.rng.random() < 0.3
    script.emit(
        EventType.DECISION_MADE,
        tool_name="Bash",
        decision="DENY" if denied else "ALLOW",
        decision_reason="the command writes outside of the project" if denied else "on the list",
    )


def _work_on_schedule(script: RunScript, agent: Agent, outcome: RunStatus | None) -> None:
    rng = script.rng
    total = rng.randint(20, 400)
    failed = rng.randint(1, 9) if outcome is RunStatus.PARTIAL else 0
    for _ in range(rng.randint(5, 14)):
        script.use_tool(rng.choice(TOOLS["cron"]), seconds=rng.choice((0.4, 3, 12)))
        if rng.random() < 0.3:
            script.emit(EventType.LOG_WRITTEN, name="info", attributes={"message": "batch done"})
    script.call_model(agent.model, context_tokens=rng.randint(900, 6_000), output_tokens=200)
    if outcome is RunStatus.TIMEOUT:
        script.wait(600, 900)
    script.emit(
        EventType.RUN_UPDATED,
        items_discovered=total,
        items_succeeded=total - failed,
        items_failed=failed,
    )


def _crawl(script: RunScript, agent: Agent, outcome: RunStatus | None) -> None:
    rng = script.rng
    pages = rng.randint(10, 45)
    failed = 0
    for page in range(pages):
        lost = rng.random() < (0.25 if outcome is RunStatus.PARTIAL else 0.04)
        failed += lost
        script.use_tool("http.get", seconds=1.2, failed="503 Service Unavailable" if lost else "")
        if not lost:
            script.use_tool(rng.choice(TOOLS["crawler"][2:]), seconds=0.2)
        if page % 6 == 0:
            script.call_model(
                agent.model, context_tokens=rng.randint(2_000, 9_000), output_tokens=150
            )
    script.emit(
        EventType.METRIC_RECORDED,
        name="pages_per_second",
        value=round(rng.uniform(0.2, 3.0), 2),
        unit="1/s",
    )
    script.emit(
        EventType.RUN_UPDATED,
        items_discovered=pages,
        items_succeeded=pages - failed,
        items_failed=failed,
    )


def _chat(script: RunScript, agent: Agent, outcome: RunStatus | None) -> None:
    rng = script.rng
    context = rng.randint(1_500, 4_000)
    for _ in range(rng.randint(4, 14)):
        script.emit(EventType.CUSTOM, name="turn.started")
        context += rng.randint(80, 900)
        script.call_model(agent.model, context_tokens=context, output_tokens=rng.randint(30, 350))
        if rng.random() < 0.6:
            script.use_tool(rng.choice(TOOLS["chat"]), seconds=0.6)
        script.wait(4, 70)
    if outcome is RunStatus.TIMEOUT:
        script.wait(300, 600)
