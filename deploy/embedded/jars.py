"""The jars of Apache Kafka, fetched once from Maven Central and checked at every start.

All jars lie flat in one folder. Checking all of it against the manifest costs about 40 ms, so
there is no stamp file that could say more than is true. With a complete cache nothing here
touches the network or imports jgo.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import structlog

from runfold.deploy.embedded.errors import KafkaJarMismatch, KafkaJarsUnavailable
from runfold.deploy.embedded.locks import locked
from runfold.deploy.embedded.manifest import KAFKA_VERSION, Jar, load_manifest

Progress = Callable[[int, int, str], None]
"""Called as `progress(done, total, name)` after each jar, from the thread that asked."""

Fetch = Callable[[Jar, Path], Path]
"""Download one jar below a folder and return its file. Errors: OSError, RuntimeError."""

_PARALLEL_DOWNLOADS = 4
_ATTEMPTS = 2
_TIMEOUT_SECONDS = 30
_FETCH_PREFIX = ".fetch-"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BrokenJar:
    """A jar that is not in the cache as the manifest wants it, and why."""

    jar: Jar
    problem: str

    def __str__(self) -> str:
        return f"{self.jar.file_name}: {self.problem}"


def default_cache_dir() -> Path:
    """Return the folder of the jars: `$XDG_CACHE_HOME` or `~/.cache`, then the Kafka version."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".cache"
    return base / "runfold" / f"kafka-{KAFKA_VERSION}"


def find_broken_jars(
    cache_dir: Path | None = None, *, manifest: tuple[Jar, ...] | None = None
) -> tuple[BrokenJar, ...]:
    """Return the jars that are missing from the cache, truncated or changed, in class path order.

    Errors: OSError when a file exists and cannot be read.
    """
    folder = cache_dir or default_cache_dir()
    wanted = load_manifest() if manifest is None else manifest
    found = ((jar, jar.problem_of(folder / jar.file_name)) for jar in wanted)
    return tuple(BrokenJar(jar, problem) for jar, problem in found if problem is not None)


def ensure_jars(
    cache_dir: Path | None = None,
    *,
    progress: Progress | None = None,
    fetch: Fetch | None = None,
    manifest: tuple[Jar, ...] | None = None,
) -> tuple[Path, ...]:
    """Make the cache complete and return the jars in class path order.

    Only jars that are missing or broken are fetched. Each is written to a temporary folder,
    verified and renamed, so an interrupted call leaves whole jars only. Safe to call from several
    processes at once: one fetches, the others wait for it.

    Errors: KafkaJarsUnavailable (halt) without network, KafkaJarMismatch (halt) when what is
    served is not what the manifest names.
    """
    folder = cache_dir or default_cache_dir()
    wanted = load_manifest() if manifest is None else manifest
    if find_broken_jars(folder, manifest=wanted):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / ".lock"):
                broken = find_broken_jars(folder, manifest=wanted)
                _repair(folder, broken, progress or _ignore_progress, fetch or fetch_with_jgo)
        except OSError as error:
            problems = tuple(str(one) for one in find_broken_jars(folder, manifest=wanted))
            raise KafkaJarsUnavailable(folder, problems, _reason(error)) from error
    return tuple(folder / jar.file_name for jar in wanted)


def _repair(folder: Path, broken: tuple[BrokenJar, ...], progress: Progress, fetch: Fetch) -> None:
    for leftover in folder.glob(f"{_FETCH_PREFIX}*"):
        shutil.rmtree(leftover)
    for one in broken:
        if one.problem != "missing":
            _log.warning("kafka_jar_refetched", jar=one.jar.file_name, problem=one.problem)
    with (
        tempfile.TemporaryDirectory(prefix=_FETCH_PREFIX, dir=folder) as work,
        ThreadPoolExecutor(_PARALLEL_DOWNLOADS, "kafka-jars") as pool,
    ):
        jobs = {pool.submit(_fetch_verified, one.jar, Path(work), fetch): one.jar for one in broken}
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                name = jobs[job].file_name
                job.result().replace(folder / name)
                progress(done, len(jobs), name)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_verified(jar: Jar, work: Path, fetch: Fetch) -> Path:
    problem: str | None = None
    for attempt in range(_ATTEMPTS):
        file = fetch(jar, work / f"{jar.artifact}-{attempt}")
        problem = jar.problem_of(file)
        if problem is None:
            return file
    raise KafkaJarMismatch(
        f"{jar.group}:{jar.artifact}:{jar.version} was downloaded {_ATTEMPTS} times and is not"
        f" the file that this version of runfold expects: {problem}"
    )


def fetch_with_jgo(jar: Jar, folder: Path) -> Path:
    """Download one jar with jgo, from the repositories of the user's jgo settings or Maven Central.

    Errors: OSError, which is what the HTTP client raises and also when no repository has the jar.
    """
    # Imported here so that a start with a complete cache does not need it.
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    repositories = {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}
    context = MavenContext(repo_cache=folder, remote_repos=repositories, timeout=_TIMEOUT_SECONDS)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        return Path(artifact.resolve())
    except RuntimeError as error:
        raise FileNotFoundError(f"no repository has {jar.file_name}") from error


def _reason(error: OSError) -> str:
    """Return why a download failed, without the internals of the HTTP client."""
    root: BaseException = error
    while root.__context__ is not None:
        root = root.__context__
    said = str(root) or str(error)
    return f"{type(error).__name__}: {said}"


def _ignore_progress(done: int, total: int, name: str) -> None:
    """Report nothing."""
