"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.buckets import S3Server, s3_server

# A machine that is shared may take its time: a test that only takes long is no failure.
settings.register_profile("runfold", deadline=None)
settings.load_profile("runfold")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Give an S3 server; this process and those that it starts find it in their environment."""
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.variables.items():
            patch.setitem(os.environ, name, value)
        yield server
