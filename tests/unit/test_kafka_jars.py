"""The cache of Kafka's jars: complete, checked, repaired, and clear about what it cannot do."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runfold.deploy.embedded.errors import (
    DataDirLocked,
    KafkaJarMismatch,
    KafkaJarsUnavailable,
    KafkaStartFailed,
)
from runfold.deploy.embedded.jars import default_cache_dir, ensure_jars, find_broken_jars
from runfold.deploy.embedded.manifest import Jar, load_manifest

CONTENTS = {"broker": b"the broker", "clients": b"the clients", "logging": b"the logging"}
MANIFEST = tuple(
    Jar("org.example", name, "1.0", len(content), hashlib.sha256(content).hexdigest())
    for name, content in CONTENTS.items()
)


def serve(jar: Jar, folder: Path) -> Path:
    """Be a repository that has every jar."""
    folder.mkdir()
    file = folder / jar.file_name
    file.write_bytes(CONTENTS[jar.artifact])
    return file


def refuse(jar: Jar, folder: Path) -> Path:
    """Be a network that is not there."""
    raise ConnectionRefusedError(f"no route to the repository of {jar.artifact} for {folder.name}")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Give a complete cache."""
    folder = tmp_path / "cache"
    ensure_jars(folder, fetch=serve, manifest=MANIFEST)
    return folder


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.name != ".lock"}


def test_an_empty_cache_is_filled_and_the_jars_keep_the_order_of_the_manifest(
    tmp_path: Path,
) -> None:
    seen: list[tuple[int, int, str]] = []

    jars = ensure_jars(
        tmp_path, progress=lambda *step: seen.append(step), fetch=serve, manifest=MANIFEST
    )

    assert [jar.read_bytes() for jar in jars] == list(CONTENTS.values())
    assert [(done, total) for done, total, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    assert {name for _, _, name in seen} == names_in(tmp_path)


def test_a_complete_cache_is_neither_fetched_nor_written_to(cache: Path) -> None:
    (cache / ".lock").unlink()

    assert len(ensure_jars(cache, fetch=refuse, manifest=MANIFEST)) == 3

    assert not (cache / ".lock").exists()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda jar: jar.write_bytes(b"the cli"), "7 bytes instead of 11"),
        (lambda jar: jar.write_bytes(b"THE clients"), "wrong SHA-256"),
        (lambda jar: jar.unlink(), "missing"),
    ],
    ids=["truncated", "corrupted", "missing"],
)
def test_a_damaged_jar_is_named_and_it_alone_is_fetched_again(
    cache: Path, damage: Callable[[Path], object], problem: str
) -> None:
    damage(cache / "clients-1.0.jar")
    assert [str(one) for one in find_broken_jars(cache, manifest=MANIFEST)] == [
        f"clients-1.0.jar: {problem}"
    ]
    fetched: list[str] = []

    ensure_jars(
        cache, progress=lambda _d, _t, name: fetched.append(name), fetch=serve, manifest=MANIFEST
    )

    assert fetched == ["clients-1.0.jar"]
    assert find_broken_jars(cache, manifest=MANIFEST) == ()


def test_fetching_a_damaged_jar_again_is_logged(cache: Path) -> None:
    (cache / "broker-1.0.jar").write_bytes(b"")

    with capture_logs() as logs:
        ensure_jars(cache, fetch=serve, manifest=MANIFEST)

    assert [(log["event"], log["jar"]) for log in logs] == [
        ("kafka_jar_refetched", "broker-1.0.jar")
    ]


def test_a_cold_cache_without_network_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KafkaJarsUnavailable) as caught:
        ensure_jars(tmp_path / "cache", fetch=refuse, manifest=MANIFEST)

    message = str(caught.value)
    assert "connect to the internet once" in message
    assert f"copy the folder {tmp_path / 'cache'} from a machine" in message
    assert "--broker HOST:PORT" in message
    assert "broker-1.0.jar: missing" in message
    assert "no route to the repository" in message


def test_a_damaged_jar_without_network_is_named_in_the_error(cache: Path) -> None:
    (cache / "logging-1.0.jar").write_bytes(b"torn")

    with pytest.raises(KafkaJarsUnavailable, match=r"logging-1\.0\.jar: 4 bytes instead of 11"):
        ensure_jars(cache, fetch=refuse, manifest=MANIFEST)


def test_a_repository_that_serves_another_file_is_refused_and_nothing_of_it_is_kept(
    tmp_path: Path,
) -> None:
    def serve_other(jar: Jar, folder: Path) -> Path:
        file = serve(jar, folder)
        if jar.artifact == "logging":
            file.write_bytes(b"the LOGGING")
        return file

    with pytest.raises(KafkaJarMismatch, match=r"org\.example:logging:1\.0.*wrong SHA-256"):
        ensure_jars(tmp_path, fetch=serve_other, manifest=MANIFEST)

    assert names_in(tmp_path) <= {"broker-1.0.jar", "clients-1.0.jar"}


def test_a_download_that_arrives_torn_once_is_tried_again(tmp_path: Path) -> None:
    torn: list[str] = []

    def serve_torn_once(jar: Jar, folder: Path) -> Path:
        file = serve(jar, folder)
        if not torn and jar.artifact == "broker":
            torn.append(jar.artifact)
            file.write_bytes(b"the")
        return file

    ensure_jars(tmp_path, fetch=serve_torn_once, manifest=MANIFEST)

    assert torn == ["broker"]
    assert find_broken_jars(tmp_path, manifest=MANIFEST) == ()


def test_an_interrupted_download_leaves_whole_jars_only(tmp_path: Path) -> None:
    def serve_until_interrupted(jar: Jar, folder: Path) -> Path:
        file = serve(jar, folder)
        if jar.artifact == "clients":
            file.write_bytes(b"the cl")
            raise KeyboardInterrupt
        return file

    with pytest.raises(KeyboardInterrupt):
        ensure_jars(tmp_path, fetch=serve_until_interrupted, manifest=MANIFEST)

    assert names_in(tmp_path) <= {"broker-1.0.jar", "logging-1.0.jar"}
    assert {one.problem for one in find_broken_jars(tmp_path, manifest=MANIFEST)} == {"missing"}


def test_what_a_killed_download_left_behind_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".fetch-abandoned"
    leftover.mkdir()
    (leftover / "broker-1.0.jar").write_bytes(b"the b")

    ensure_jars(tmp_path, fetch=serve, manifest=MANIFEST)

    assert names_in(tmp_path) == {"broker-1.0.jar", "clients-1.0.jar", "logging-1.0.jar"}


def test_of_two_that_find_the_cache_cold_one_fetches_and_both_get_it(tmp_path: Path) -> None:
    fetched: list[str] = []
    both_started = threading.Barrier(2, timeout=10)

    def serve_counted(jar: Jar, folder: Path) -> Path:
        fetched.append(jar.artifact)
        return serve(jar, folder)

    def ensure() -> tuple[Path, ...]:
        both_started.wait()
        return ensure_jars(tmp_path, fetch=serve_counted, manifest=MANIFEST)

    with ThreadPoolExecutor(2) as pool:
        results = [job.result() for job in [pool.submit(ensure), pool.submit(ensure)]]

    assert sorted(fetched) == ["broker", "clients", "logging"]
    assert results[0] == results[1]
    assert all(jar.exists() for jar in results[0])


def test_the_cache_lies_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "runfold" / "kafka-4.3.1"


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_an_xdg_value_that_is_no_absolute_path_is_ignored(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert default_cache_dir() == Path.home() / ".cache" / "runfold" / "kafka-4.3.1"


def test_the_manifest_of_the_package_names_kafka_and_a_log_binding() -> None:
    jars = {jar.file_name: jar for jar in load_manifest()}

    assert len(jars) == len(load_manifest()) == 46
    assert {"kafka_2.13-4.3.1.jar", "log4j-slf4j-impl-2.25.4.jar"} <= jars.keys()
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 1000 for jar in jars.values())


@pytest.mark.parametrize(
    "error",
    [
        KafkaJarsUnavailable(Path("/cache"), ("a.jar: missing",), "offline"),
        DataDirLocked(Path("/data"), 17),
        KafkaStartFailed("Kafka ended", "the last line"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_pickling_with_its_message(error: Exception) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
