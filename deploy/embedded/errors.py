"""The errors of the embedded stack, drawn as a tree. All of them halt: a person has to act.

RunfoldError
└── EmbeddedError            halt  base of what follows
    ├── JavaMissing          halt  no Java runtime can be found
    ├── KafkaJarsUnavailable halt  Kafka's jars are neither cached nor reachable
    ├── KafkaJarMismatch     halt  a downloaded jar is not the one that the manifest names
    ├── DataDirLocked        halt  another server works on this data directory
    ├── DataDirUnusable      halt  the data directory cannot be created or written
    ├── KafkaNotRunning      halt  a running broker was asked for something, but none runs
    ├── KafkaStartFailed     halt  the broker died or stayed silent while it started
    ├── PostgresMissing      halt  PostgreSQL's programs are not installed
    └── PostgresStartFailed  halt  PostgreSQL died or stayed silent while it started
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runfold.schemas.errors import RunfoldError

if TYPE_CHECKING:
    from pathlib import Path


class EmbeddedError(RunfoldError):
    """Base of the errors that the embedded stack raises."""

    code = "embedded"


class JavaMissing(EmbeddedError):
    """No Java runtime can be found; the message says which package brings one."""

    code = "java_missing"


class KafkaJarsUnavailable(EmbeddedError):
    """Jars of Kafka are missing or broken in the cache and cannot be fetched now."""

    code = "kafka_jars_unavailable"

    def __init__(self, cache_dir: Path, problems: tuple[str, ...], reason: str) -> None:
        super().__init__(cache_dir, problems, reason)
        self.cache_dir = cache_dir
        self.problems = problems
        self.reason = reason

    def __str__(self) -> str:
        shown = ", ".join(self.problems[:3])
        more = f" and {len(self.problems) - 3} more" if len(self.problems) > 3 else ""
        return (
            f"Kafka's jars are not complete in {self.cache_dir} ({shown}{more})"
            f" and cannot be fetched: {self.reason}\n"
            "Do one of these:\n"
            "  - connect to the internet once and run the command again;\n"
            f"  - copy the folder {self.cache_dir} from a machine that has it;\n"
            "  - use a Kafka that already runs: --broker HOST:PORT"
        )


class KafkaJarMismatch(EmbeddedError):
    """A jar was downloaded twice and is not what the manifest says; the message names it."""

    code = "kafka_jar_mismatch"


class DataDirLocked(EmbeddedError):
    """Another server works on the data directory; `pid` is the process that started it."""

    code = "data_dir_locked"

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        super().__init__(data_dir, pid)
        self.data_dir = data_dir
        self.pid = pid

    def __str__(self) -> str:
        owner = "another process" if self.pid is None else f"process {self.pid}"
        return (
            f"{self.data_dir} is in use by {owner}; stop it first, or choose another data directory"
        )


class DataDirUnusable(EmbeddedError):
    """The data directory cannot be created or written; the message says why."""

    code = "data_dir_unusable"


class KafkaNotRunning(EmbeddedError):
    """A running broker was asked for something, but none runs."""

    code = "kafka_not_running"


class StartFailed(EmbeddedError):
    """A server died or did not answer while it started; `log_tail` is what it said last."""

    def __init__(self, problem: str, log_tail: str) -> None:
        super().__init__(problem, log_tail)
        self.problem = problem
        self.log_tail = log_tail

    def __str__(self) -> str:
        said = self.log_tail.strip() or "(nothing)"
        return f"{self.problem}\nThe last lines of its log:\n{said}"


class KafkaStartFailed(StartFailed):
    """Kafka did not start."""

    code = "kafka_start_failed"


class PostgresMissing(EmbeddedError):
    """PostgreSQL's programs are not installed; the message says which package brings them."""

    code = "postgres_missing"


class PostgresStartFailed(StartFailed):
    """PostgreSQL did not start."""

    code = "postgres_start_failed"
