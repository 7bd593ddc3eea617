"""Claude Code transcripts as events: what counts, what counts once, and what is said of a run."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runfold.processors.fold import fold
from runfold.producers.importers.claude_code import (
    ClaudeCodeImport,
    ImportOptions,
    ImportReport,
    find_transcripts,
    nothing_stored,
)
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.event import Event, LoggedEvent
from runfold.schemas.run_state import TOKEN_FIELDS, RunState
from tests.transcripts.counting import count_tokens
from tests.transcripts.writer import START, Transcript, forked

RECORDED = Path(__file__).parent.parent / "transcripts" / "recorded"
SOON = START + timedelta(hours=3)
LATER = START + timedelta(days=2)
Events = list[dict[str, Any]]


def session(letter: str) -> str:
    return f"{letter * 8}-{letter * 4}-4{letter * 3}-8{letter * 3}-{letter * 12}"


class Log:
    """Keeps what was published as the worker would: an event once for each run."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], dict[str, Any]] = {}

    def runs_of(self, event_ids: Collection[str]) -> Mapping[str, str]:
        wanted = set(event_ids)
        return {event_id: run_id for run_id, event_id in self.events if event_id in wanted}

    def take(
        self, path: Path, *, now: Any = LATER, blind: bool = False, **options: Any
    ) -> ImportReport:
        """Import `path`; a blind import does not ask what is stored."""
        reading = ClaudeCodeImport(
            find_transcripts(path),
            ImportOptions(now=now, **options),
            stored=nothing_stored if blind else self.runs_of,
        )
        for event in reading.events():
            self.events.setdefault((event["run_id"], event["event_id"]), event)
        return reading.report

    def tokens(self, run_id: str | None = None) -> Counter[str]:
        total: Counter[str] = Counter()
        for (owner, _), event in self.events.items():
            if run_id in (None, owner):
                total.update({name: event[name] for name in TOKEN_FIELDS if event.get(name)})
        return total

    def of(self, run_id: str, event_type: str | None = None) -> Events:
        return [
            event
            for (owner, _), event in self.events.items()
            if owner == run_id and event_type in (None, event["event_type"])
        ]

    def status(self, run_id: str) -> str:
        state: RunState | None = None
        for offset, event in enumerate(self.of(run_id)):
            state = fold(state, LoggedEvent(Event(**event), offset, offset))
        assert state is not None
        return state.status


def attributes(event: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(event.get("attributes", "{}"))
    return decoded


def test_tokens_are_those_of_an_independent_count() -> None:
    log = Log()
    report = log.take(RECORDED)
    expected = count_tokens(RECORDED)
    assert expected["output_tokens"] > 2000
    assert log.tokens() == report.tokens == expected


def test_a_session_with_tools_is_told_in_full() -> None:
    log = Log()
    log.take(RECORDED / "-home-dev-shop" / f"{session('1')}.jsonl")
    events = log.of(session("1"))
    kinds = Counter(each["event_type"] for each in events)
    assert kinds == {
        "run.started": 1,
        "llm.called": 4,
        "tool.started": 4,
        "tool.ended": 4,
        "decision.made": 1,
        "custom": 3,
        "run.updated": 1,
        "run.ended": 1,
    }
    assert log.tokens() == {
        "input_tokens": 13,
        "output_tokens": 652,
        "cache_read_tokens": 59040,
        "cache_write_tokens": 4550,
    }
    ended = {each["span_id"]: each for each in log.of(session("1"), "tool.ended")}
    assert [ended[f"toolu_1{each}"]["status"] for each in ("a1", "b1", "b2", "c1")] == [
        "success",
        "failure",
        "success",
        "cancelled",
    ]
    assert ended["toolu_1b1"]["duration_ms"] == 9000.0
    assert ended["toolu_1b2"]["duration_ms"] == 41.0
    assert ended["toolu_1b1"]["error_message"] == "Error: Exit code 1 3 failed"
    (denied,) = log.of(session("1"), "decision.made")
    assert (denied["decision"], denied["tool_name"]) == ("DENY", "Edit")
    (started,) = log.of(session("1"), "run.started")
    assert {name: started[name] for name in ("agent_name", "project", "git_branch")} == {
        "agent_name": "claude-code",
        "project": "shop",
        "git_branch": "main",
    }
    (titled,) = log.of(session("1"), "run.updated")
    assert attributes(titled)["title"] == "Delivery date on the checkout page"
    assert log.status(session("1")) == "success"


@pytest.mark.parametrize(
    ("parent", "agent", "name", "output"),
    [
        ("2", "a1b2c3d4", "Explore", 83),
        ("2", "9f8e7d6c", "reviewer", 210),
        ("3", None, "general-purpose", 62),
    ],
)
def test_a_sub_agent_is_a_run_of_its_own(
    parent: str, agent: str | None, name: str, output: int
) -> None:
    log = Log()
    log.take(RECORDED)
    started = [
        event
        for event in log.events.values()
        if event["event_type"] == "run.started" and event["agent_name"] == name
    ]
    assert len(started) == 1
    run_id = started[0]["run_id"]
    assert agent is None or run_id == f"{session(parent)}.agent-{agent}"
    assert started[0]["parent_run_id"] == started[0]["session_id"] == session(parent)
    assert started[0]["parent_span_id"] in {
        each["span_id"] for each in log.of(session(parent), "tool.started")
    }
    assert log.tokens(run_id)["output_tokens"] == output
    assert log.status(run_id) == "success"


def test_five_imports_are_one() -> None:
    once, five, blind = Log(), Log(), Log()
    once.take(RECORDED)
    first = five.take(RECORDED)
    for _ in range(4):
        again = five.take(RECORDED)
        assert (again.events, again.known) == (0, first.events)
        assert again.tokens == first.tokens
    for _ in range(5):
        blind.take(RECORDED, blind=True)
    assert once.events == five.events == blind.events


def test_every_event_can_be_encoded() -> None:
    encode = SparseEncoder(latest("event"))
    for now in (SOON, LATER):
        log = Log()
        log.take(RECORDED, now=now)
        assert all(encode(each) for each in log.events.values())


def test_an_import_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    """Lines come one by one, hours pass between imports, and the end is that of one import."""
    whole = (RECORDED / "-home-dev-tools" / f"{session('8')}.jsonl").read_bytes().splitlines(True)
    path = tmp_path / f"{session('8')}.jsonl"
    often = Log()
    for number in range(1, len(whole) + 1):
        path.write_bytes(b"".join(whole[:number]))
        last = json.loads(whole[number - 1])["timestamp"]
        at = START.fromisoformat(last)
        for now in (at + timedelta(seconds=1), at + timedelta(minutes=45)):
            following = json.loads(whole[min(number, len(whole) - 1)])["timestamp"]
            if now < START.fromisoformat(following) or number == len(whole):
                often.take(path, now=now)
    once = Log()
    once.take(path)
    assert often.events == once.events
    assert often.status(session("8")) == "failure"


SHARED = {"4", "5", "6", "7"}
ORIGIN, RESUMED, BRANCH, SDK_FORK = (session(each) for each in sorted(SHARED))


def subset(tmp_path: Path, *letters: str) -> Path:
    folder = tmp_path / "-".join(letters)
    folder.mkdir()
    for letter in letters:
        shutil.copy(RECORDED / "-home-dev-shop" / f"{session(letter)}.jsonl", folder)
    return folder


@pytest.mark.parametrize(
    "imports",
    [
        ["4567"],
        ["4", "45", "4567"],
        ["5", "45"],
        ["5", "4"],
        ["6", "46"],
        ["6", "4"],
        ["7", "67", "467"],
        ["76", "5", "4567"],
        ["7", "5", "4", "6"],
    ],
)
def test_what_sessions_share_counts_once_in_whatever_order_they_come(
    tmp_path: Path, imports: list[str]
) -> None:
    log = Log()
    for number, letters in enumerate(imports):
        (tmp_path / str(number)).mkdir()
        log.take(subset(tmp_path / str(number), *letters))
    everything = subset(tmp_path, *sorted(set("".join(imports))))
    assert log.tokens() == count_tokens(everything)
    turns = [each for each in log.events.values() if each.get("name") == "turn.started"]
    prompts = len(set("".join(imports)) | {"4"} | ({"6"} if "7" in imports[0] else set()))
    assert len(turns) == prompts


def test_the_original_owns_what_a_resumed_session_repeats(tmp_path: Path) -> None:
    log = Log()
    log.take(subset(tmp_path, "4", "5"))
    assert log.tokens(ORIGIN)["output_tokens"] == 165
    assert log.tokens(RESUMED)["output_tokens"] == 52
    (started,) = log.of(RESUMED, "run.started")
    assert attributes(started)["forked_from"] == ORIGIN
    assert "parent_run_id" not in started


def test_what_the_lake_holds_stays_where_it_is(tmp_path: Path) -> None:
    log = Log()
    log.take(subset(tmp_path, "5"))
    assert log.tokens(RESUMED)["output_tokens"] == 217
    log.take(subset(tmp_path, "4", "5"))
    assert log.tokens(RESUMED)["output_tokens"] == 217
    assert log.of(ORIGIN) == []


def test_a_fork_counts_for_the_session_that_it_names_even_alone(tmp_path: Path) -> None:
    log = Log()
    log.take(subset(tmp_path, "6"))
    assert log.tokens(ORIGIN)["output_tokens"] == 165
    assert log.tokens(BRANCH)["output_tokens"] == 48
    assert log.status(ORIGIN) == "success"
    (started,) = log.of(BRANCH, "run.started")
    assert attributes(started)["forked_from"] == ORIGIN


def test_a_fork_of_a_fork_leads_back_to_the_first(tmp_path: Path) -> None:
    log = Log()
    log.take(subset(tmp_path, "4", "6", "7"))
    outputs = [log.tokens(each)["output_tokens"] for each in (ORIGIN, BRANCH, SDK_FORK)]
    assert outputs == [165, 48, 39]


def test_the_session_that_went_on_first_is_the_origin(tmp_path: Path) -> None:
    first = Transcript("first")
    first.prompt("hello")
    first.says("m1", "hi")
    second = Transcript("second", at=first.now + timedelta(hours=1))
    second.copy_of(first.lines)
    second.prompt("later")
    second.says("m3", "yes")
    first.prompt("sooner")
    first.says("m2", "yes")
    second.save(tmp_path)
    first.save(tmp_path)
    log = Log()
    log.take(tmp_path)
    assert len(log.of("first", "llm.called")) == 2
    assert len(log.of("second", "llm.called")) == 1


def test_a_sub_agent_that_inherits_the_context_counts_only_its_own(tmp_path: Path) -> None:
    main = Transcript("s")
    main.prompt("look around")
    main.tool("m1", "t1", "Agent", input={"prompt": "look", "subagent_type": "fork"})
    agent = Transcript("s", at=main.now, agentId="ab", isSidechain=True)
    agent.copy_of(main.lines, agentId="ab", isSidechain=True)
    agent.says("m2", "found it")
    main.result("t1", seconds=9, toolUseResult={"agentId": "ab", "status": "completed"})
    main.says("m3", "it is found")
    main.save(tmp_path)
    agent.save(tmp_path / "s" / "subagents", "agent-ab")
    log = Log()
    log.take(tmp_path)
    assert len(log.of("s", "llm.called")) == 2
    assert len(log.of("s.agent-ab", "llm.called")) == 1


def test_a_half_written_message_waits(tmp_path: Path) -> None:
    running = Transcript("s")
    running.prompt("go")
    running.tool("m1", "t1", usage=(3, 1, 100, 20), stop=None)
    path = running.save(tmp_path)
    log = Log()
    report = log.take(path, now=running.now + timedelta(seconds=5))
    assert report.pending_calls == 1
    assert log.of("s", "llm.called") == []
    assert len(log.of("s", "tool.started")) == 1
    running.says("m1", "more", usage=(3, 77, 100, 20), stop=None)
    running.result("t1")
    running.save(tmp_path)
    assert log.take(path, now=running.now).pending_calls == 1
    running.says("m2", "done")
    running.save(tmp_path)
    assert log.take(path, now=running.now).pending_calls == 0
    assert [each["output_tokens"] for each in log.of("s", "llm.called")] == [77, 10]


def test_a_stop_reason_completes_a_message(tmp_path: Path) -> None:
    running = Transcript("s")
    running.prompt("go")
    running.says("m1", "partly", usage=(3, 1, 0, 0), stop=None)
    running.says("m1", "wholly", usage=(3, 42, 0, 0))
    log = Log()
    log.take(running.save(tmp_path), now=running.now)
    assert [each["output_tokens"] for each in log.of("s", "llm.called")] == [42]


def test_a_silent_session_completes_its_last_message(tmp_path: Path) -> None:
    dead = Transcript("s")
    dead.prompt("go")
    dead.says("m1", "partly", usage=(3, 9, 0, 0), stop=None)
    log = Log()
    log.take(dead.save(tmp_path), now=dead.now + timedelta(minutes=31))
    assert [each["output_tokens"] for each in log.of("s", "llm.called")] == [9]


def test_a_line_without_its_request_id_belongs_to_its_message(tmp_path: Path) -> None:
    odd = Transcript("s")
    odd.prompt("go")
    odd.says("m1", "one", requestId=None)
    odd.says("m1", "two")
    log = Log()
    log.take(odd.save(tmp_path))
    assert len(log.of("s", "llm.called")) == 1


def test_tool_ids_that_repeat_are_told_apart(tmp_path: Path) -> None:
    """Other models behind the same program call their tools `Bash_0` each time."""
    odd = Transcript("s")
    odd.prompt("go")
    for message in ("m1", "m2"):
        odd.tool(message, "Bash_0")
        odd.result("Bash_0")
    log = Log()
    log.take(odd.save(tmp_path))
    assert len(log.of("s", "tool.started")) == len(log.of("s", "tool.ended")) == 2


@pytest.mark.parametrize(
    ("letter", "status"), [("1", "success"), ("8", "failure"), ("b", "cancelled")]
)
def test_how_a_session_ended(letter: str, status: str) -> None:
    log = Log()
    log.take(RECORDED)
    assert log.status(session(letter)) == status


def test_a_session_that_wrote_a_minute_ago_is_running() -> None:
    log = Log()
    report = log.take(RECORDED, now=SOON)
    assert log.status(session("a")) == "running"
    assert report.pending_calls == 1


def test_a_session_that_goes_on_runs_again(tmp_path: Path) -> None:
    resumed = Transcript("s")
    resumed.prompt("go")
    resumed.says("m1", "done")
    path = resumed.save(tmp_path)
    log = Log()
    log.take(path, now=resumed.now + timedelta(hours=1))
    assert log.status("s") == "success"
    resumed.prompt("go on", seconds=7200)
    resumed.save(tmp_path)
    log.take(path, now=resumed.now)
    assert log.status("s") == "running"
    log.take(path, now=resumed.now + timedelta(hours=1))
    assert log.status("s") == "success"


def test_a_session_waits_for_its_sub_agent_without_ending(tmp_path: Path) -> None:
    main = Transcript("s")
    main.prompt("go")
    main.tool("m1", "t1", "Task", input={"prompt": "dig", "subagent_type": "digger"})
    agent = Transcript("s", at=main.now, agentId="ab", isSidechain=True)
    agent.prompt("dig")
    for number in range(4):
        agent.says(f"a{number}", "digging", seconds=1200)
    main.save(tmp_path)
    agent.save(tmp_path / "s" / "subagents", "agent-ab")
    log = Log()
    log.take(tmp_path, now=agent.now + timedelta(minutes=1))
    assert log.status("s") == log.status("s.agent-ab") == "running"
    main.result("t1", seconds=4801, toolUseResult={"agentId": "ab", "status": "completed"})
    main.save(tmp_path)
    log.take(tmp_path, now=main.now)
    assert log.status("s") == "running"
    assert log.status("s.agent-ab") == "success"
    assert len(log.of("s", "run.ended")) == 0


def test_a_sub_agent_in_the_background_runs_on(tmp_path: Path) -> None:
    main = Transcript("s")
    main.prompt("go")
    main.tool("m1", "t1", "Task", input={"prompt": "dig", "subagent_type": "digger"})
    main.result("t1", toolUseResult={"agentId": "ab", "status": "async_launched"})
    agent = Transcript("s", at=main.now, agentId="ab", isSidechain=True)
    agent.prompt("dig")
    main.save(tmp_path)
    agent.says("a1", "digging")
    agent.save(tmp_path / "s" / "subagents", "agent-ab")
    log = Log()
    log.take(tmp_path, now=agent.now)
    assert log.status("s.agent-ab") == "running"


def test_only_what_a_person_asked_is_a_turn(tmp_path: Path) -> None:
    mixed = Transcript("s")
    mixed.prompt("a real one")
    mixed.prompt("<command-name>/clear</command-name>\n<command-args></command-args>")
    mixed.prompt("<local-command-stdout>cleared</local-command-stdout>")
    mixed.prompt("injected", isMeta=True)
    mixed.prompt("a background task is done", origin={"kind": "task-notification"})
    mixed.prompt("<command-message>x</command-message><command-name>/ship</command-name>")
    mixed.prompt("[Request interrupted by user]")
    log = Log()
    assert log.take(mixed.save(tmp_path)).turns == 2


def test_no_content_leaves_every_text_out() -> None:
    log = Log()
    log.take(RECORDED, content=False)
    for event in log.events.values():
        assert not {"title", "input", "content"} & attributes(event).keys()
        assert "error_message" not in event


def test_cost_is_the_transcripts_own_or_the_list_price() -> None:
    log = Log()
    log.take(RECORDED)
    costs = {each["event_id"]: each for each in log.events.values() if "cost_usd" in each}
    own = costs["cc-msg_3b:req_3b"]
    assert own["cost_usd"] == 0.00512
    assert "cost_source" not in attributes(own)
    listed = costs["cc-msg_4b:req_4b"]
    assert listed["cost_usd"] == pytest.approx((3 + 1050 + 250) * 3e-6 + 45 * 15e-6)
    assert attributes(listed)["cost_source"].startswith("list price 20")


def test_malformed_lines_are_named_and_their_neighbours_kept() -> None:
    log = Log()
    path = RECORDED / "-home-dev-tools" / f"{session('9')}.jsonl"
    report = log.take(path)
    assert [each.number for each in report.bad_lines] == [*range(2, 14), 17]
    assert {each.path for each in report.bad_lines} == {path}
    assert report.bad_lines[0].reason.startswith("not JSON")
    assert "torn" in report.bad_lines[-1].reason
    assert len(log.of(session("9"), "llm.called")) == 2
    assert report.turns == 1


def test_forks_made_with_new_ids_are_found_by_what_they_name(tmp_path: Path) -> None:
    origin = Transcript("a")
    origin.prompt("one")
    origin.says("m1", "two")
    fork = Transcript("b", at=origin.now + timedelta(minutes=5))
    fork.copy_of(forked(origin.lines, new_ids=True))
    fork.prompt("three")
    origin.save(tmp_path)
    fork.save(tmp_path)
    log = Log()
    assert log.take(tmp_path).turns == 2


def test_the_original_is_read_before_its_fork_whichever_file_is_older(tmp_path: Path) -> None:
    origin = Transcript("a")
    origin.prompt("one")
    fork = Transcript("b", at=origin.now + timedelta(minutes=5))
    fork.copy_of(forked(origin.lines), timestamp="2026-01-10T10:00:00.000Z")
    os.utime(fork.save(tmp_path), (1, 1))
    origin.save(tmp_path)
    log = Log()
    log.take(tmp_path)
    (turn,) = log.of("a", "custom")
    assert turn["occurred_at"] == round(origin.now.timestamp() * 1e6)
