"""Places of lakes as settings name them, and objects as files that are read in parts."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runfold.schemas.errors import ConfigurationError
from runfold.sinks import object_reading
from runfold.sinks.object_path import ObjectPath, lake_path
from runfold.sinks.object_reading import RangedFile


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/a/lake", Path("/a/lake")),
        ("~/lake", Path("~/lake").expanduser()),
        ("s3://bucket", ObjectPath("bucket", "")),
        ("s3://bucket/", ObjectPath("bucket", "")),
        ("s3://bucket/a/b/", ObjectPath("bucket", "a/b")),
    ],
)
def test_a_lake_is_a_folder_or_a_prefix_of_a_bucket(text: str, place: object) -> None:
    assert lake_path(text) == place


@pytest.mark.parametrize("text", ["s3://", "s3:///x", "s3://b//x", "s3://b/../x", "gs://b/x"])
def test_another_place_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="use a folder or s3://BUCKET/PREFIX"):
        lake_path(text)


def test_the_path_of_an_object_is_taken_apart_as_that_of_a_file_is() -> None:
    path = lake_path("s3://bucket") / "a" / "b/c.parquet"
    assert str(path) == "s3://bucket/a/b/c.parquet"
    assert (path.name, str(path.parent)) == ("c.parquet", "s3://bucket/a/b")
    assert str(path.parent.parent.parent) == "s3://bucket"
    assert str(path.with_name("d")) == "s3://bucket/a/b/d"


@given(
    content=st.binary(max_size=100),
    block_bytes=st.integers(1, 9),
    reads=st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, 110), st.integers(0, 60))),
)
def test_what_is_fetched_in_parts_reads_as_a_file_does(
    content: bytes, block_bytes: int, reads: list[tuple[int, int, int]]
) -> None:
    def part(start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(content)
        return content[start:end]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_reading, "_BLOCK_BYTES", block_bytes)
        ranged, plain = RangedFile(part, len(content)), io.BytesIO(content)
        for whence, offset, count in reads:
            back = -offset if whence == 2 else offset
            if whence == 2 and offset > len(content):
                continue
            assert ranged.seek(back, whence) == plain.seek(back, whence)
            assert ranged.read(count) == plain.read(count)
            assert ranged.tell() == plain.tell()


def test_what_lies_together_is_fetched_at_once() -> None:
    fetched: list[tuple[int, int]] = []

    def part(start: int, end: int) -> bytes:
        fetched.append((start, end))
        return bytes(end - start)

    mebibyte = 1024 * 1024
    file = RangedFile(part, 5 * mebibyte + 7)
    file.seek(-8, io.SEEK_END)
    file.read()
    file.seek(10)
    for _ in range(30):
        file.read(mebibyte // 10)
    assert fetched[0] == (4 * mebibyte, 5 * mebibyte + 7)
    assert fetched[1:] == [(n * mebibyte, (n + 1) * mebibyte) for n in range(3)]


def test_threads_that_share_a_file_do_not_move_each_other() -> None:
    content = bytes(range(256)) * 100
    file = RangedFile(lambda start, end: content[start:end], len(content))
    file.seek(100)
    with ThreadPoolExecutor(1) as other:
        other.submit(file.seek, 20_000).result()
        assert file.read(10) == content[100:110]
        assert other.submit(file.read, 10).result() == content[20_000:20_010]
