"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.buckets import S3Server, s3_server
from tests.server_fixtures import (
    database,
    kafka,
    kafka_root,
    kafka_runtime,
    kafka_server_factory,
    postgres,
    topic_name,
)

__all__ = [
    "database",
    "kafka",
    "kafka_root",
    "kafka_runtime",
    "kafka_server_factory",
    "postgres",
    "topic_name",
]

# A machine that is shared may take its time: a test that only takes long is no failure.
settings.register_profile("runfold", deadline=None)
settings.load_profile("runfold")

_LONGEST_FIRST = ("chaos", "integration")
_MOST_PROCESSES = 8
"""Each has a Kafka of its own, of some 200 MiB."""


def pytest_xdist_auto_num_workers() -> int:
    """Return in how many processes `-n auto` tests: twice the cores, since many tests wait."""
    return min(2 * (os.cpu_count() or 1), _MOST_PROCESSES)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take longest, so that none is left over at the end.

    Within a folder the order stays as random as it is.
    """
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    folder = Path(item.path).parent.name
    return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Give an S3 server; this process and those that it starts find it in their environment."""
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.variables.items():
            patch.setitem(os.environ, name, value)
        yield server
