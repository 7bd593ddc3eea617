"""The Automagik SDK's calls, recorded by runfold.

What is expected "as published" was read off the published package, 0.1.4.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import runfold.producers.compat.automagik as sdk
from runfold.producers.compat.automagik import switches
from runfold.producers.journal_folder import journals_below
from runfold.producers.orphans import ship_orphans
from tests.memory_log import MemoryLog, MemoryPublisher
from tests.recording import Recording

DOC = Path(__file__).parents[2] / "docs" / "compat-automagik.md"
VARIABLES = ("DO_NOT_TRACK", "RUNFOLD_ENABLED", "ENVIRONMENT", *switches.CI_VARIABLES)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty home folder and an environment that says nothing."""
    for name in [*VARIABLES, *(each for each in os.environ if each.startswith("AUTOMAGIK"))]:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def recording(tmp_path: Path, home: Path) -> Iterator[Recording]:  # noqa: ARG001
    one = Recording(tmp_path / "journal")
    yield one
    one.client.close()


def client_of(recording: Recording, **fields: Any) -> sdk.AutomagikTelemetry:
    """Return a client that records, as one does whose user said yes."""
    chosen = {"project_name": "omni", "version": "1.2.3", "enabled": True, **fields}
    return sdk.AutomagikTelemetry(sdk.TelemetryConfig(**chosen), client=recording.client)


# What a call becomes


def test_an_event_is_a_custom_event_of_a_run_that_begins_with_it(recording: Recording) -> None:
    one = client_of(recording, organization="acme")
    one.track_event(sdk.StandardEvents.FEATURE_USED, {"feature_name": "list", "n": 2, "on": True})
    started, event = recording.events()
    assert started["event_type"] == "run.started"
    assert started["job_type"] == "automagik"
    assert (event["event_type"], event["name"]) == ("custom", "automagik.feature.used")
    assert event["run_id"] == started["run_id"]
    for each in (started, event):
        assert (each["agent_name"], each["project"], each["agent_version"]) == (
            "omni",
            "omni",
            "1.2.3",
        )
        assert (each["session_id"], each["user_id"]) == (one.session_id, one.user_id)
    attributes = event["attributes"]
    assert {key for key in attributes if key.startswith("system.")} == {
        "system.os",
        "system.os_version",
        "system.python_version",
        "system.architecture",
        "system.is_docker",
        "system.project_name",
        "system.project_version",
        "system.organization",
    }
    assert attributes["system.organization"] == "acme"
    assert (attributes["feature_name"], attributes["n"], attributes["on"]) == ("list", 2, True)


def test_an_error_counts_as_one_and_its_context_wins(recording: Recording) -> None:
    one = client_of(recording)
    one.track_error(ValueError("no " + "x" * 600), {"error_code": "E1"})
    one.track_error(ValueError("no"), {"error_type": "Mine"})
    one.track_event("automagik.error", {"error_type": "Third"})
    first, second, third = recording.events("error.raised")
    assert (first["name"], first["error_type"]) == ("automagik.error", "ValueError")
    assert len(first["error_message"]) == 500
    assert first["attributes"]["error_code"] == "E1"
    assert (second["error_type"], third["error_type"]) == ("Mine", "Third")


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (sdk.MetricType.COUNTER, "counter"),
        ("HISTOGRAM", "histogram"),
        ("no such type", "gauge"),
        (None, "gauge"),
    ],
)
def test_a_metric_has_its_type_and_no_system_attributes(
    recording: Recording, kind: Any, kept: str
) -> None:
    client_of(recording).track_metric("api.latency", 12, kind, {"endpoint": "/v1"})
    (event,) = recording.events("metric.recorded")
    assert (event["name"], event["value"]) == ("api.latency", 12.0)
    assert event["attributes"] == {"metric_type": kept, "endpoint": "/v1"}


@pytest.mark.parametrize(
    ("severity", "level", "number"),
    [(sdk.LogSeverity.WARN, "WARN", 13), ("error", "ERROR", 17), ("loud", "INFO", 9)],
)
def test_a_log_has_its_level_and_message(
    recording: Recording, severity: Any, level: str, number: int
) -> None:
    given_attributes = {"trace_id": "t1", "message": "theirs"}
    client_of(recording).track_log("m" * 1200, severity, given_attributes)
    (event,) = recording.events("log.written")
    assert (event["name"], event["trace_id"]) == (level.lower(), "t1")
    assert event["attributes"] == {
        "message": "m" * 1000,
        "severity_text": level,
        "severity_number": number,
        "trace_id": "t1",
        "attributes.message": "theirs",
    }


def test_attributes_with_a_column_of_their_own_fill_it_and_no_others_do(
    recording: Recording,
) -> None:
    named = {"duration_ms": 5, "user.id": "u9", "status": "odd", "run_id": "r", "span_id": 3}
    client_of(recording).track_event("e", named)
    (event,) = recording.events("custom")
    assert (event["duration_ms"], event["user_id"]) == (5.0, "u9")
    assert "status" not in event
    assert "span_id" not in event
    assert event["run_id"] != "r"
    assert {key: event["attributes"][key] for key in named} == named


def test_the_async_calls_record_the_same(recording: Recording) -> None:
    one = client_of(recording)

    async def all_of_them() -> None:
        await one.track_event_async("e", {"a": 1})
        await one.track_error_async(ValueError("v"))
        await one.track_metric_async("m", 1)
        await one.track_log_async("l")
        await one.flush_async()

    asyncio.run(all_of_them())
    assert [each["event_type"] for each in recording.log.events] == [
        "run.started",
        "custom",
        "error.raised",
        "metric.recorded",
        "log.written",
    ]


# The run that calls belong to


def test_calls_within_a_run_belong_to_it(recording: Recording) -> None:
    one = client_of(recording)
    with recording.client.run("outer") as run:
        one.track_event("e")
    assert [each["run_id"] for each in recording.events()] == [run.run_id] * 3
    assert recording.types() == ["run.started", "custom", "run.ended"]


def test_the_run_ends_when_the_client_is_dropped(recording: Recording) -> None:
    one = client_of(recording)
    one.track_event("e")
    del one
    gc.collect()
    assert recording.types() == ["run.started", "custom", "run.ended"]


def test_a_forked_child_has_a_run_of_its_own_below_its_parents(recording: Recording) -> None:
    recording.log.down = True
    one = client_of(recording)
    one.track_event("in the parent")
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            one.track_event("in the child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    recording.client.close(timeout=0)
    log = MemoryLog()
    asyncio.run(ship_orphans(recording.root, MemoryPublisher(log)))
    runs = {each["name"]: each["run_id"] for each in log.events if "name" in each}
    started = {e["run_id"]: e for e in log.events if e["event_type"] == "run.started"}
    assert started[runs["in the child"]]["parent_run_id"] == runs["in the parent"]


def test_a_program_that_just_ends_loses_nothing_and_ends_its_run(
    tmp_path: Path, home: Path
) -> None:
    script = """
from runfold.producers.compat.automagik import AutomagikTelemetry, TelemetryConfig
telemetry = AutomagikTelemetry(TelemetryConfig(project_name="omni", version="1"))
telemetry.track_event("e")
"""
    environment = {
        **os.environ,
        "AUTOMAGIK_TELEMETRY_ENABLED": "true",
        "RUNFOLD_JOURNAL": str(tmp_path / "kept"),
        "RUNFOLD_BROKER": "127.0.0.1:1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    log = MemoryLog()
    asyncio.run(ship_orphans(tmp_path / "kept", MemoryPublisher(log)))
    assert [each["event_type"] for each in log.events] == ["run.started", "custom", "run.ended"]
    assert (home / ".automagik" / "user_id").read_text() == log.events[0]["user_id"]
    assert "host" not in log.events[0]


# Who decides


@pytest.mark.parametrize(
    ("environment", "files", "wish", "enabled"),
    [
        ({}, set(), None, False),
        ({}, set(), True, True),
        ({}, {"yes"}, None, True),
        ({}, {"yes"}, False, False),
        ({}, {"yes", "no"}, None, False),
        ({}, {"no"}, True, False),
        ({"CI": "1"}, {"yes"}, True, False),
        ({"GITLAB_CI": "true"}, set(), True, False),
        ({"ENVIRONMENT": "test"}, {"yes"}, None, False),
        ({"AUTOMAGIK_TELEMETRY_ENABLED": "ON", "CI": "1"}, {"no"}, False, True),
        ({"AUTOMAGIK_TELEMETRY_ENABLED": ""}, {"yes"}, True, False),
        ({"AUTOMAGIK_TELEMETRY_ENABLED": " true "}, set(), None, False),
        ({"AUTOMAGIK_TELEMETRY_ENABLED": "true", "DO_NOT_TRACK": "1"}, {"yes"}, True, False),
        ({"DO_NOT_TRACK": "0"}, {"yes"}, None, True),
        ({"AUTOMAGIK_TELEMETRY_ENABLED": "1", "RUNFOLD_ENABLED": "0"}, {"yes"}, True, False),
        ({"RUNFOLD_ENABLED": "1"}, set(), None, False),
    ],
)
def test_whether_a_client_is_enabled(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    files: set[str],
    wish: bool | None,
    enabled: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if "yes" in files:
        sdk.TelemetryOptIn.save_preference(True)
    if "no" in files:
        (home / ".automagik-no-telemetry").touch()
    config = sdk.TelemetryConfig("omni", "1", enabled=wish)
    assert sdk.AutomagikTelemetry(config).is_enabled() is enabled


def test_a_disabled_client_touches_neither_disk_nor_log(recording: Recording, home: Path) -> None:
    one = client_of(recording, enabled=None)
    one.track_event("e")
    one.track_error(ValueError("e"))
    one.track_metric("m", 1)
    one.track_log("l")
    one.flush()
    one.get_status()
    assert list(home.iterdir()) == []
    assert not recording.root.exists()
    assert recording.log.opened == 0


def test_enable_forgets_a_stored_no_and_records(
    recording: Recording, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOMAGIK_TELEMETRY_ENABLED", "false")
    sdk.TelemetryOptIn.save_preference(False)
    one = client_of(recording)
    known = one.user_id
    one.enable()
    one.track_event("e")
    assert not (home / ".automagik-no-telemetry").exists()
    assert (home / ".automagik" / "user_id").read_text() == known == one.user_id
    assert recording.types() == ["run.started", "custom"]


def test_enable_does_not_override_do_not_track(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    one = client_of(recording)
    one.enable()
    assert not one.is_enabled()


def test_disable_delivers_what_waits_ends_the_run_and_stores_the_no(
    recording: Recording, home: Path
) -> None:
    one = client_of(recording)
    one.track_event("e")
    asyncio.run(one.disable())
    one.track_event("too late")
    assert [e["event_type"] for e in recording.log.events] == ["run.started", "custom", "run.ended"]
    assert (home / ".automagik-no-telemetry").exists()
    one.enable()
    one.track_event("again")
    first, again = (each["run_id"] for each in recording.events("custom"))
    assert first != again


class Terminal(io.StringIO):
    """A terminal with someone in front of it."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.mark.parametrize(
    ("answer", "yes"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]
)
@pytest.mark.usefixtures("home")
def test_the_answer_to_the_prompt_holds_for_the_next_client(
    monkeypatch: pytest.MonkeyPatch, answer: str, yes: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert sdk.should_prompt_user()
    assert sdk.prompt_user_if_needed("omni") is yes
    assert not sdk.should_prompt_user()
    assert sdk.TelemetryOptIn.prompt_user() is yes
    config = sdk.TelemetryConfig("omni", "1")
    assert sdk.AutomagikTelemetry(config).is_enabled() is yes


@pytest.mark.usefixtures("home")
def test_nobody_is_asked_where_nobody_sits_or_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sdk.prompt_user_if_needed() is False
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("CI", "1")
    assert sdk.prompt_user_if_needed() is False
    assert not sdk.TelemetryOptIn.has_user_decided()


def test_a_home_that_cannot_be_written_harms_nobody(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    sdk.TelemetryOptIn.save_preference(True)
    one = client_of(recording)
    one.track_event("e")
    asyncio.run(one.disable())
    assert len(recording.events("custom")) == 1


def test_verbose_shows_what_is_recorded(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client_of(recording).track_event("quiet")
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("AUTOMAGIK_TELEMETRY_VERBOSE", "true")
    client_of(recording).track_event("shown")
    shown = capsys.readouterr().out
    assert "[Telemetry] Recording custom" in shown
    assert '"event_type": "custom"' in shown


# Privacy


@pytest.mark.parametrize(
    ("text", "hashed", "redacted", "truncated"),
    [
        ("+1-555-555-5555", "sha256:7f0bc773627ab704", "[REDACTED]", "XXX-XXX-XXXX"),
        ("user@example.com", "sha256:b4c9a289323b21a0", "[REDACTED]", "us***@example.com"),
        ("10.0.0.1", "sha256:f5047344122f0dee", "X.X.X.X", "X.X.X.X"),
        *[("/home/bob/x.py", *["/[USER_PATH]/x.py"] * 3)],
        *[(f"sk_live_{'a' * 24}", *["[REDACTED]"] * 3)],
        # mended: the published package lets the last digits or the country code through
        *[("4111 1111 1111 1111", *["[REDACTED]"] * 3)],
        ("+55 11 98765-4321", "sha256:c582ee66782d98bf", "[REDACTED]", "XXX-XXX-XXXX"),
        # mended: it takes these for phones
        *[("550e8400-e29b-41d4-a716-446655440000",) * 4],
        *[("1763000000000000000",) * 4],
    ],
)
def test_a_text_is_cleaned(text: str, hashed: str, redacted: str, truncated: str) -> None:
    cleaned = {
        "hash": hashed,
        "redact": redacted,
        "truncate": truncated,
    }
    for strategy, wanted in cleaned.items():
        config = sdk.PrivacyConfig(strategy=strategy)  # type: ignore[arg-type]
        assert sdk.sanitize_value(f"a {text} b", config) == f"a {wanted} b"
    assert sdk.detect_pii(text) is (hashed != text)


def test_keys_that_name_a_secret_are_hidden_at_any_depth_and_counts_of_tokens_are_not() -> None:
    data = {"Password": "x", "in": [{"my_secret": 1, "prompt_tokens": 5}], "token": "t", "n": (1,)}
    assert sdk.sanitize_telemetry_data(data) == {
        "Password": "[REDACTED]",
        "in": [{"my_secret": "[REDACTED]", "prompt_tokens": 5}],
        "token": "[REDACTED]",
        "n": [1],
    }


def test_the_small_privacy_functions() -> None:
    assert sdk.hash_value("abc") == "sha256:ba7816bf8f01cfea"
    assert sdk.truncate_string("abcdef", 5) == "ab..."
    assert sdk.truncate_string("abcdef", 2) == "ab"
    assert sdk.detect_pii(None) is False
    unknown = sdk.PrivacyConfig(strategy="other")  # type: ignore[arg-type]
    assert sdk.sanitize_phone("555-555-5555", unknown) == "555-555-5555"
    assert sdk.sanitize_email("a@b.co", unknown) == "a@b.co"
    assert sdk.redact_sensitive_keys({"Mine": 1}, ["min"]) == {"Mine": "[REDACTED]"}


def test_nothing_personal_or_secret_reaches_the_journal(recording: Recording) -> None:
    recording.log.down = True
    one = client_of(recording)
    secrets = {"password": "hunter2", "mail": ["me@example.com"], "deep": {"token": "hunter3"}}
    one.track_event("e", {**secrets, "long": "x" * 490 + " later@example.com"})
    one.track_error(ValueError("at /home/bob/x for me@example.com"), secrets)
    one.track_log("call +1-555-555-5555", attributes=secrets)
    written = b"".join(
        path.read_bytes()
        for journal in journals_below(recording.root)
        for path in journal.rglob("*")
        if path.is_file()
    )
    assert b"[REDACTED]" in written
    for each in (b"hunter", b"@example.com", b"bob", b"555-5555", b"later"):
        assert each not in written


# Configuration


def test_the_configuration_may_be_given_by_its_fields(recording: Recording) -> None:
    one = sdk.TelemetryClient(
        project_name="omni", version="1", enabled=True, client=recording.client
    )
    one.track_event("e")
    assert recording.events("custom")[0]["project"] == "omni"
    with pytest.raises(TypeError, match="project_name"):
        sdk.TelemetryClient()
    with pytest.raises(TypeError, match="not both"):
        sdk.TelemetryClient(sdk.TelemetryConfig("a", "1"), version="2")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"project_name": " "}, "project_name is required"),
        ({"version": ""}, "version is required"),
        ({"endpoint": "ftp://x"}, "endpoint must use http or https"),
        ({"endpoint": "http://"}, "endpoint must be a valid URL"),
        ({"endpoint": "http://[x"}, "endpoint must be a valid URL"),
        ({"timeout": 0}, "timeout must be a positive integer"),
        ({"timeout": 61}, "timeout should not exceed 60 seconds"),
        ({"organization": " "}, "organization cannot be empty"),
    ],
)
@pytest.mark.parametrize("kind", [sdk.TelemetryConfig, sdk.ConfigTelemetryConfig])
def test_a_wrong_configuration_is_refused_by_name(
    kind: Any, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sdk.create_config(kind(**{"project_name": "p", "version": "1", **fields}))


@pytest.mark.usefixtures("home")
def test_a_configuration_is_the_users_then_the_environments_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert vars(sdk.create_config(sdk.ConfigTelemetryConfig("p", "1"))) == {
        "project_name": "p",
        "version": "1",
        **sdk.DEFAULT_CONFIG,
    }
    monkeypatch.setenv("AUTOMAGIK_TELEMETRY_TIMEOUT", "9")
    monkeypatch.setenv("AUTOMAGIK_TELEMETRY_ENABLED", " Yes ")
    monkeypatch.setenv("AUTOMAGIK_TELEMETRY_ENDPOINT", "http://env")
    merged = sdk.create_config(sdk.TelemetryConfig("p", "1", endpoint="http://mine", timeout=3))
    assert (merged.endpoint, merged.timeout, merged.enabled) == ("http://mine", 3, True)
    monkeypatch.setenv("AUTOMAGIK_TELEMETRY_TIMEOUT", "soon")
    assert sdk.load_config_from_env().timeout is None


@pytest.mark.parametrize(
    ("base", "traces", "metrics"),
    [
        (
            None,
            "https://telemetry.namastex.ai/v1/traces",
            "https://telemetry.namastex.ai/v1/metrics",
        ),
        ("http://h/t/tok/", "http://h/t/tok/v1/traces", "http://h/t/tok/v1/metrics"),
        ("http://h/v1/traces", "http://h/v1/traces", "http://h/v1/metrics"),
        ("http://h/x/logs", "http://h/x/logs", "http://h/x/metrics"),
    ],
)
@pytest.mark.usefixtures("home")
def test_the_status_names_the_addresses_as_published(
    base: str | None, traces: str, metrics: str
) -> None:
    status = sdk.AutomagikTelemetry(sdk.TelemetryConfig("p", "1", endpoint=base)).get_status()
    assert (status["endpoint"], status["metrics_endpoint"]) == (traces, metrics)


def test_the_status_has_all_keys_as_published(recording: Recording) -> None:
    one = client_of(recording)
    one.track_event("e")
    one.flush()
    status = one.get_status()
    assert [*status] == [
        "enabled",
        "user_id",
        "session_id",
        "project_name",
        "project_version",
        "endpoint",
        "metrics_endpoint",
        "logs_endpoint",
        "opt_out_file_exists",
        "env_var",
        "verbose",
        "batch_size",
        "compression_enabled",
        "queue_sizes",
        "counts",
    ]
    assert (status["enabled"], status["batch_size"]) == (True, 100)
    assert status["counts"]["shipped"] == 2


def test_flush_waits_no_longer_than_the_timeout_of_the_environment(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(recording.client, "flush", waited.append)
    monkeypatch.setenv("AUTOMAGIK_TELEMETRY_TIMEOUT", "9")
    client_of(recording).flush()
    client_of(recording, timeout=2).flush()
    assert waited == [9.0, 2.0]
    monkeypatch.undo()


# The surface


def test_methods_take_their_arguments_as_published() -> None:
    published = {
        "track_event": ["event_name", "attributes"],
        "track_error": ["error", "context"],
        "track_metric": ["metric_name", "value", "metric_type", "attributes"],
        "track_log": ["message", "severity", "attributes"],
        "flush": [],
        "enable": [],
        "disable": [],
        "is_enabled": [],
        "get_status": [],
    }
    waits = {"disable", "flush_async"}
    for name in ("track_event", "track_error", "track_metric", "track_log", "flush"):
        published[f"{name}_async"] = published[name]
        waits.add(f"{name}_async")
    for name, arguments in published.items():
        method = getattr(sdk.AutomagikTelemetry, name)
        assert [*inspect.signature(method).parameters] == ["self", *arguments]
        assert inspect.iscoroutinefunction(method) is (name in waits)
    assert {m.name: m.value for m in sdk.MetricType} == {
        "GAUGE": "gauge",
        "COUNTER": "counter",
        "HISTOGRAM": "histogram",
    }
    assert {s.name: s.value for s in sdk.LogSeverity} == {
        "TRACE": 1,
        "DEBUG": 5,
        "INFO": 9,
        "WARN": 13,
        "ERROR": 17,
        "FATAL": 21,
    }


def test_every_public_name_is_in_the_documents_table() -> None:
    table = DOC.read_text("utf-8")
    methods = [name for name in vars(sdk.AutomagikTelemetry) if not name.startswith("_")]
    assert [each for each in [*sdk.__all__, *methods] if f"`{each}" not in table] == []


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=_ANYTHING, second=_ANYTHING, third=_ANYTHING)
def test_no_call_raises_and_none_is_lost(
    recording: Recording, first: Any, second: Any, third: Any
) -> None:
    one = client_of(recording)
    before = recording.client.counts.recorded
    one.track_event(first, second)
    one.track_error(first, second)
    one.track_metric(first, second, third, third)
    one.track_log(first, second, third)
    counts = recording.client.counts
    assert (counts.recorded - before, counts.failed) == (5, 0)
