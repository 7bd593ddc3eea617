"""An S3 server of its own for the tests, and buckets in it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from runfold.sinks.object_path import ObjectPath
from tests.ending_with_us import ending_with_us


class S3Server:
    """A running server. `variables` are what a process needs to talk to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def new_lake(self) -> ObjectPath:
        """Return a place in a new bucket."""
        bucket = f"tests-{secrets.token_hex(6)}"
        self._put(f"/{bucket}", b"")
        return ObjectPath(bucket, "a/lake")

    def fail(self, **fault: object) -> None:
        """Let requests fail from now on, see `tests.s3_server`; without a fault they succeed."""
        self._put("/-/faults", json.dumps(fault).encode())

    def _put(self, path: str, body: bytes) -> None:
        with urlopen(Request(self.url + path, data=body, method="PUT"), timeout=10):
            pass


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server for the time of a `with` block."""
    command = ending_with_us([sys.executable, "-m", "tests.s3_server"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise AssertionError("it has no output")
            yield S3Server(process.stdout.readline().strip())
        finally:
            process.kill()
