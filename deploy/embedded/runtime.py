"""What the embedded Kafka is run with, and the Java command lines that run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runfold.deploy.embedded.class_archive import GARBAGE_COLLECTOR
from runfold.deploy.embedded.data_dir import DataDir
from runfold.deploy.embedded.jars import Progress, default_cache_dir, ensure_jars
from runfold.deploy.embedded.java import find_java

_SERVER_PROPERTIES = "config/server.properties"


@dataclass(frozen=True, slots=True)
class KafkaRuntime:
    """Java, Kafka's jars in class path order, and where Java's class archives are kept."""

    java: Path
    jars: tuple[Path, ...]
    archive_dir: Path

    def broker_command(
        self, data_dir: DataDir, *, heap_max_mebibytes: int, archive: Sequence[str]
    ) -> list[str]:
        """Return the command that runs a broker, for a process in the data directory."""
        heap = ("-Xms64m", f"-Xmx{heap_max_mebibytes}m", "-XX:+ExitOnOutOfMemoryError")
        return self._command(data_dir, (*heap, *archive), ("kafka.Kafka", _SERVER_PROPERTIES))

    def format_command(
        self, data_dir: DataDir, *, cluster_id: str, archive: Sequence[str]
    ) -> list[str]:
        """Return the command that formats the storage, for a process in the data directory."""
        # It runs for half a second: compiling its code well would take longer.
        options = ("-Xmx256m", "-XX:TieredStopAtLevel=1", *archive)
        tool = ("kafka.tools.StorageTool", "format", "--cluster-id", cluster_id)
        return self._command(data_dir, options, (*tool, "--config", _SERVER_PROPERTIES))

    def _command(self, data_dir: DataDir, options: Sequence[str], main: Sequence[str]) -> list[str]:
        class_path = ":".join(str(jar) for jar in self.jars)
        return [
            str(self.java),
            GARBAGE_COLLECTOR,
            *options,
            # Nothing is to be written outside the data directory.
            "-XX:-UsePerfData",
            "-XX:ErrorFile=logs/java-crash-%p.log",
            f"-Djava.io.tmpdir={data_dir.temporary}",
            # Kafka 4.3 still uses what Java 24 and later warn of.
            "--sun-misc-unsafe-memory-access=allow",
            "-Djava.awt.headless=true",
            "-Dlog4j2.configurationFile=config/log4j2.properties",
            "-Dlog4j2.disableJmx=true",
            "-cp",
            class_path,
            *main,
        ]


def prepare_runtime(
    cache_dir: Path | None = None, *, progress: Progress | None = None
) -> KafkaRuntime:
    """Find Java and make Kafka's jars complete in the cache, fetching what is missing.

    Errors: JavaMissing, KafkaJarsUnavailable, KafkaJarMismatch (all halt).
    """
    java = find_java()
    folder = (cache_dir or default_cache_dir()).absolute()
    jars = ensure_jars(folder, progress=progress)
    return KafkaRuntime(java, jars, folder / "class-archive")
