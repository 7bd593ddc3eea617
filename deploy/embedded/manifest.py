"""The jars that one Apache Kafka needs: coordinates, sizes and SHA-256, kept in the package.

The manifest pins every file, so a start resolves no dependencies and trusts no mirror.
`python -m runfold.deploy.embedded.manifest` writes a new one to standard output for the version
named below; it is run by hand, once for each version of Kafka.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jgo.maven import Artifact

KAFKA_VERSION = "4.3.1"
KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Kafka logs to slf4j 1.7 and its POM names no binding: without this jar nothing is logged.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the manifest: where Maven keeps it, and what it must be."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Return the name of the file, in Maven and in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    def problem_of(self, file: Path) -> str | None:
        """Return what is wrong with `file` as this jar, None if it is the one.

        Errors: OSError when the file exists and cannot be read.
        """
        try:
            found_bytes = file.stat().st_size
        except FileNotFoundError:
            return "missing"
        if found_bytes != self.size_bytes:
            return f"{found_bytes} bytes instead of {self.size_bytes}"
        with file.open("rb") as content:
            found_sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        return None if found_sha256 == self.sha256 else "wrong SHA-256"


def load_manifest() -> tuple[Jar, ...]:
    """Return the jars of the manifest in the order of the class path."""
    name = f"kafka-{KAFKA_VERSION}.sha256"
    text = resources.files("runfold.deploy.embedded").joinpath(name).read_text("utf-8")
    return tuple(_parse_line(line) for line in text.splitlines() if not line.startswith("#"))


def _parse_line(line: str) -> Jar:
    sha256, size_bytes, coordinate = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, int(size_bytes), sha256)


def resolve_manifest() -> tuple[Jar, ...]:
    """Resolve the dependencies of Kafka afresh over the network and return what they are."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository))
        kafka, needed_by_kafka = context.resolver.resolve([context.create_dependency(KAFKA)])
        # Not resolved together: the versions that log4j manages would replace those of Kafka.
        jars = [
            _describe(dependency.artifact)
            for dependency in (*kafka, *needed_by_kafka, context.create_dependency(LOG_BINDING))
            if dependency.type == "jar" and dependency.scope not in ("test", "provided")
        ]
    return tuple(sorted(jars, key=lambda jar: jar.file_name.lower()))


def _describe(artifact: Artifact) -> Jar:
    content = Path(artifact.resolve()).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return Jar(artifact.groupId, artifact.artifactId, artifact.version, len(content), sha256)


def main() -> None:
    """Write a freshly resolved manifest to standard output."""
    lines = [f"# Apache Kafka {KAFKA_VERSION}: SHA-256, size in bytes, Maven coordinate"]
    lines += [
        f"{jar.sha256}  {jar.size_bytes}  {jar.group}:{jar.artifact}:{jar.version}"
        for jar in resolve_manifest()
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
