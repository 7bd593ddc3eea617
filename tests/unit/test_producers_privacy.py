"""Consent and privacy: nothing without a yes, no content unasked, no secret on any disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.producers import Client, Privacy, save_consent
from runfold.producers.consent import OPT_OUT_FILE, consent
from runfold.producers.journal_folder import journals_below
from runfold.producers.redaction import Redactor, names_a_secret
from runfold.schemas.errors import ConfigurationError
from tests.recording import Recording
from tests.wild_values import wild

Open = Callable[..., Recording]
_SWITCHES = ("RUNFOLD_ENABLED", "RUNFOLD_CONTENT", "RUNFOLD_VERBOSE", "DO_NOT_TRACK", "ENVIRONMENT",
             "CI", "GITHUB_ACTIONS", "GITLAB_CI")  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a user who has said nothing."""
    for name in _SWITCHES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "bob"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("RUNFOLD_DATA_DIR", str(folder / "data"))
    return folder


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    opened: list[Recording] = []

    def open_one(**chosen: Any) -> Recording:
        opened.append(Recording(tmp_path / f"journal-{len(opened)}", **chosen))
        return opened[-1]

    yield open_one
    for each in opened:
        each.client.close(timeout=0)


def _touch_opt_out(home: Path) -> None:
    (home / OPT_OUT_FILE).touch()


@pytest.mark.parametrize(
    ("variables", "own", "published"),
    [
        ({}, True, False),
        ({"RUNFOLD_ENABLED": "true"}, True, True),
        ({"RUNFOLD_ENABLED": " YES "}, True, True),
        ({"RUNFOLD_ENABLED": "1", "CI": "true", "ENVIRONMENT": "test"}, True, True),
        ({"RUNFOLD_ENABLED": ""}, False, False),
        ({"RUNFOLD_ENABLED": "perhaps"}, False, False),
        ({"RUNFOLD_ENABLED": "1", "DO_NOT_TRACK": "1"}, False, False),
        ({"DO_NOT_TRACK": "1"}, False, False),
        ({"DO_NOT_TRACK": "0"}, True, False),
        ({"CI": "true"}, True, False),
    ],
)
def test_who_may_be_recorded(variables: dict[str, str], own: bool, published: bool) -> None:
    assert consent(published=False, environment=variables).allowed is own
    assert consent(published=True, environment=variables).allowed is published


@pytest.mark.parametrize(
    ("variables", "allowed"),
    [
        ({}, True),
        ({"RUNFOLD_ENABLED": "false"}, False),
        ({"DO_NOT_TRACK": "true"}, False),
        ({"CI": "1"}, False),
        ({"CI": "false"}, True),
        ({"GITHUB_ACTIONS": "true"}, False),
        ({"ENVIRONMENT": "Testing"}, False),
        ({"ENVIRONMENT": "production"}, True),
    ],
)
def test_a_users_yes_counts_where_nothing_is_against_it(
    variables: dict[str, str], allowed: bool
) -> None:
    save_consent(True)
    assert consent(published=True, environment=variables).allowed is allowed


def test_a_users_no_counts_until_the_next_yes(home: Path) -> None:
    save_consent(True)
    _touch_opt_out(home)
    assert not consent(published=True, environment={}).allowed
    assert consent(published=True, environment={"RUNFOLD_ENABLED": "1"}).allowed
    save_consent(True)
    assert consent(published=True, environment={}).allowed
    save_consent(False)
    assert not consent(published=True, environment={}).allowed
    assert (home / OPT_OUT_FILE).exists()


def test_a_published_agent_touches_nothing_without_consent(opened: Open, home: Path) -> None:
    one = opened(published=True)
    with one.client.run("agent") as run, run.tool("t"):
        run.error(ValueError("x"))
        one.client.event("custom")
    one.client.event("custom")
    assert run.run_id
    assert one.client.flush(1)
    assert not one.client.enabled
    assert (one.log.opened, one.log.events, one.root.exists()) == (0, [], False)
    assert list(home.iterdir()) == []
    assert one.client.counts.recorded == one.client.counts.failed == 0


def test_do_not_track_silences_an_agent_of_ones_own_too(
    opened: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("RUNFOLD_DEBUG", "1")
    one = opened()
    one.client.start_run()
    assert not one.root.exists()
    assert "DO_NOT_TRACK is set" in capsys.readouterr().err


def test_a_preview_shows_what_is_sent(
    opened: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = opened(verbose=True)
    run_id = one.client.start_run("agent")
    one.client.event(run_id, "custom", text="y" * 10_000)
    first, second = capsys.readouterr().err.splitlines()
    event = orjson.loads(first.removeprefix("runfold sends: "))
    assert {name: one.events()[0][name] for name in event} == event
    assert len(second) < 3000
    monkeypatch.setenv("RUNFOLD_VERBOSE", "1")
    other = opened(published=True)
    other.client.start_run("agent", project="of bob@example.org")
    shown = capsys.readouterr().err
    assert "may not send, and would send" in shown
    assert "of [email]" in shown
    assert (other.log.events, other.root.exists()) == ([], False)


CONTENT: dict[str, Any] = {
    "prompt": "p", "arguments": {"q": "x"}, "messages": [{"content": "x"}], "tool_output": "o",
    "gen_ai.input.messages": "m", "input.value": "v", "nested": {"result": "r", "kept": 1},
}  # fmt: skip
PLAIN: dict[str, Any] = {"input_tokens": 1, "url": "https://e.org", "output": 5, "max_results": 3}


def _recorded(one: Recording) -> dict[str, Any]:
    one.client.event("r", "custom", decision="d", decision_reason="why", **CONTENT, **PLAIN)
    return one.last()


def test_content_is_left_out_where_it_is_not_allowed_and_that_is_marked(opened: Open) -> None:
    event = _recorded(opened(privacy=Privacy()))
    attributes = event["attributes"]
    assert attributes.pop("runfold.altered") == dict.fromkeys(
        ["decision_reason", "nested.result", *(set(CONTENT) - {"nested"})], "content"
    )
    assert attributes == {
        "nested": {"kept": 1}, "url": "https://e.org", "output": 5, "max_results": 3,
    }  # fmt: skip
    assert (event["decision"], event["input_tokens"]) == ("d", 1)
    assert "decision_reason" not in event


@pytest.mark.parametrize(
    ("given", "published", "said", "content"),
    [
        (None, False, None, True),
        (None, False, "0", False),
        (Privacy(), False, None, False),
        (Privacy(), False, "1", False),
        (Privacy(content=True), False, None, True),
        (Privacy(content=True), False, "no", False),
        (None, True, None, False),
        (Privacy(content=True), True, None, False),
        (None, True, "true", True),
        ("nonsense", False, None, False),
    ],
)
def test_who_decides_on_content(
    opened: Open,
    monkeypatch: pytest.MonkeyPatch,
    given: Any,
    published: bool,
    said: str | None,
    content: bool,
) -> None:
    monkeypatch.setenv("RUNFOLD_ENABLED", "1")
    if said is not None:
        monkeypatch.setenv("RUNFOLD_CONTENT", said)
    event = _recorded(opened(privacy=given, published=published))
    assert ("decision_reason" in event) is content
    assert ("prompt" in event["attributes"]) is content


def test_a_transcript_without_content_still_counts_its_messages(opened: Open) -> None:
    one = opened(privacy=Privacy())
    with one.client.run() as run:
        run.transcript([{"role": "user", "content": "secret plans"}] * 3)
    saved = one.events("transcript.saved")[0]["attributes"]
    assert (saved["messages_total"], "messages" in saved) == (3, False)


SECRETS = {
    "openai": "sk-" + "proj-Ab1" * 5,
    "stripe": "rk_live_" + "a1" * 12,
    "github": "ghp_" + "A1b2" * 9,
    "github fine": "github_pat_" + "A1b2" * 9,
    "gitlab": "glpat-" + "A1b2" * 5,
    "slack": "xoxb-" + "1234567890-ab",
    "aws": "AKIA" + "ABCDEFGH12345678",
    "google": "AIza" + "A" * 35,
    "hugging face": "hf_" + "A1b2" * 8,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "bearer": "abcdefghij1234567890",
    "assigned": "hunter2hunter2",
    "json": "zxcvbnm123",
    "url": "p@ss/w0rd"[:6],
    "pem": "MIIEowIBAAKCAQEA",
}
TEXTS = {
    "bearer": "Authorization: Bearer {}",
    "assigned": "DB_PASSWORD={} run",
    "json": '{{"api_key": "{}"}}',
    "url": "postgres://user:{}@db.example.org:5432/x",
    "pem": "a -----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY----- b",
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_replaced_and_nothing_around_it(name: str) -> None:
    text = "before " + TEXTS.get(name, "the key {} here").format(SECRETS[name]) + " after"
    kept = Redactor().text(text)
    assert SECRETS[name] not in kept
    assert "[secret]" in kept
    assert kept.startswith("before ")
    assert kept.endswith(" after")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mail bob.o+x@mail.example.co.uk, ok", "mail [email], ok"),
        ("Bob <jürgen@exämple.de>", "Bob <[email]>"),
        ("/home/bob/a.py:3 and /Users/bob", "~/a.py:3 and ~"),
        (
            "/mnt/home/bob/x file:///home/bob/y PATH=/a:/home/bob/bin",
            "~/x file://~/y PATH=/a:~/bin",
        ),
        (r"C:\Users\Bob Smith\x.py", r"~\x.py"),
        ("https://e.org/home/garden?x=1", "https://e.org/home/garden?x=1"),
        (
            "prompt_tokens=12345678, max_token_count: 5",
            "prompt_tokens=12345678, max_token_count: 5",
        ),
        ("a task-list with sk-learn and @mentions", "a task-list with sk-learn and @mentions"),
        ("634d35cc5e0f2b6a91d7 2026-01-01T00:00:00Z", "634d35cc5e0f2b6a91d7 2026-01-01T00:00:00Z"),
    ],
)
def test_addresses_and_homes_are_replaced_and_the_like_are_not(text: str, kept: str) -> None:
    assert Redactor().text(text) == kept


def test_the_users_home_is_replaced_wherever_it_lies(home: Path) -> None:
    assert Redactor().text(f"in {home}/x and {home}by") == f"in ~/x and {home}by"


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("password", True), ("DB_PASSWORD", True), ("accessToken", True), ("api-key", True),
        ("x.authorization", True), ("prompt_tokens", False), ("token_count", False),
        ("tokens", False), ("keyboard", False), ("secretary", False),
    ],
)  # fmt: skip
def test_some_names_say_that_their_value_is_secret(name: str, is_secret: bool) -> None:
    assert names_a_secret(name) is is_secret


def _everything_written(one: Recording) -> bytes:
    return b"".join(
        path.read_bytes()
        for folder in journals_below(one.root)
        for path in folder.iterdir()
        if path.is_file()
    )


def test_nothing_secret_is_ever_on_the_disk(opened: Open) -> None:
    one = opened(privacy=Privacy(content=True, patterns=["ACME-[0-9]+"]), agent="of bob@e.org")
    one.log.down = True
    with one.client.run(run_id="job of bob@e.org", project="/home/bob/p") as run:
        run.event("mail to bob@e.org", tool_name="bob@e.org", error_message=SECRETS["github"])
        run.event("custom", deep=[{"bob@e.org": {"x": "see ACME-1234"}}, {"password": 1234}])
        with pytest.raises(ValueError, match="bob"), run.run("sub of bob@e.org"):
            raise ValueError("bob@e.org is not there")
        run.tool(SECRETS["openai"], path=Path("/home/bob/x")).begin()
    written = _everything_written(one)
    assert len(written.splitlines()) >= 7
    for secret in ("bob", "ACME-1234", '"password":1234', SECRETS["github"], SECRETS["openai"]):
        assert secret.encode() not in written


def test_what_was_redacted_is_marked_and_names_still_differ(opened: Open) -> None:
    one = opened(privacy=Privacy())
    for each in ("a@e.org", "b@e.org"):
        with one.client.run(each), one.client.run("sub"):
            pass
    one.client.event("r", "custom", note="by a@e.org", list=["x", "a@e.org"])
    started = one.events("run.started")
    assert len({each["agent_name"] for each in started}) == 3
    assert started[1]["parent_run_id"] == started[0]["run_id"]
    assert one.last()["attributes"]["runfold.altered"] == {
        "note": "redacted", "list[1]": "redacted",
    }  # fmt: skip


def test_a_run_whose_id_is_redacted_is_one_run(opened: Open) -> None:
    one = opened(privacy=Privacy())
    with one.client.run(run_id="of a@e.org") as run:
        run.event("custom")
        with one.client.run():
            pass
    ids = {each["run_id"] for each in one.events() if "parent_run_id" not in each}
    parents = {each["parent_run_id"] for each in one.events() if "parent_run_id" in each}
    assert parents < ids
    assert "a@e.org" not in repr(one.log.events)


def test_a_published_agent_says_nothing_of_its_host(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNFOLD_ENABLED", "1")
    one = opened(published=True)
    one.client.start_run()
    assert "host" not in one.last()


@pytest.mark.parametrize("bad", ["(", 5, b"x", re.compile(b"x")])
def test_a_bad_pattern_is_named_where_it_is_given(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="patterns: number 2"):
        Privacy(patterns=["fine", bad])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(name=wild.filter(lambda each: each is not None), value=wild)
def test_whatever_is_recorded_privately_becomes_a_line(
    private: Client, name: Any, value: Any
) -> None:
    before = private.counts
    private.event(name, name, prompt=value, tool_name=value, x={"y": value})
    assert private.counts.recorded == before.recorded + 1
    assert private.counts.failed == before.failed


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    one = Recording(tmp_path_factory.mktemp("journal"), privacy=Privacy())
    one.log.down = True
    yield one.client
    one.client.close(timeout=0)


def test_a_huge_event_is_still_one_that_a_worker_takes(opened: Open) -> None:
    one = opened(privacy=Privacy(content=True))
    one.client.event("r", "custom", many=["a@b.co"] * 120_000)
    assert one.client.flush(20)
    assert one.client.counts.rejected == 0
    assert b"a@b.co" not in orjson.dumps(one.log.events)


@pytest.mark.timeout(60)  # what grows with the square takes minutes
@pytest.mark.parametrize(
    "text",
    ["a" * 300_000 + "@", "a." * 150_000 + "@", "eyJ" * 100_000, "://" * 100_000, "sk-" * 100_000,
     "token" * 60_000, "/home" * 60_000, "-----BEGIN PRIVATE KEY-----" * 10_000, "a@" * 150_000,
     "C:\\Users\\" * 30_000, "bearer " * 40_000, "password = " * 30_000],
)  # fmt: skip
def test_no_text_takes_longer_than_its_length_explains(text: str) -> None:
    Redactor().text(text)


@given(st.text())
def test_redacting_again_changes_nothing(text: str) -> None:
    once = Redactor().text(text)
    assert Redactor().text(once) == once
