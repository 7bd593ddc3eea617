"""Formats the storage of a new broker: gives it its cluster id and the features of its version."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Sequence

from runfold.deploy.embedded.data_dir import DataDir
from runfold.deploy.embedded.errors import KafkaStartFailed
from runfold.deploy.embedded.java import java_environment
from runfold.deploy.embedded.runtime import KafkaRuntime

_TIMEOUT_SECONDS = 60


def format_storage(data_dir: DataDir, runtime: KafkaRuntime, *, archive: Sequence[str]) -> None:
    """Format the storage with Kafka's own tool, which writes `meta.properties` last.

    Its own tool, because it also writes the feature levels of this version of Kafka; without them
    a broker runs with fewer features. Errors: KafkaStartFailed (halt) with what the tool said.
    """
    command = runtime.format_command(data_dir, cluster_id=new_cluster_id(), archive=archive)
    try:
        done = subprocess.run(
            command,
            cwd=data_dir.path,
            env=java_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.output or b"").decode("utf-8", "replace")
        raise KafkaStartFailed(
            f"formatting the storage took more than {_TIMEOUT_SECONDS} s", said
        ) from error
    if done.returncode != 0 or data_dir.cluster_id is None:
        said = done.stdout.decode("utf-8", "replace")
        raise KafkaStartFailed(f"formatting the storage failed (exit code {done.returncode})", said)


def new_cluster_id() -> str:
    """Return a random id in the form that Kafka uses: 22 characters of URL-safe base64."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # Kafka makes none that would read like an option on a command line.
        if not text.startswith("-"):
            return text
