"""The contract of `Location`: what a lake may rely on, on a disk and in a bucket."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runfold.schemas.errors import LakeUnavailable
from runfold.sinks import object_storage
from runfold.sinks.lake_connection import lake_connection
from runfold.sinks.lake_errors import is_gone, lake_errors
from runfold.sinks.object_path import LakePath, ObjectPath
from runfold.sinks.parquet_reading import columns_of, metadata_of, parquet_file
from runfold.sinks.query import open_lake
from runfold.sinks.storage import at, write_file
from tests.buckets import S3Server


@pytest.fixture(params=["disk", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> LakePath:
    """Give a place on each kind of storage."""
    if request.param == "disk":
        return tmp_path
    server: S3Server = request.getfixturevalue("s3")
    return server.new_lake()


@pytest.fixture
def bucket(s3: S3Server) -> ObjectPath:
    """Give a place in a bucket."""
    return s3.new_lake()


def contents(root: LakePath) -> dict[str, bytes]:
    found = (each for _, files in at(root).walk() for each in files)
    return {str(each).removeprefix(f"{root}/"): at(each).read() for each in found}


def test_what_was_written_is_found_by_its_name(root: LakePath) -> None:
    names = ["a", "b/c", "b/d e", "b/=ü[x]*"]
    for name in names:
        at(root / name).write(name.encode())
    at(root / "a").write(b"anew")
    assert contents(root) == {name: name.encode() for name in names} | {"a": b"anew"}
    assert sorted(at(root).names()) == ["a", "b"]
    assert {str(folder) for folder, _ in at(root).walk()} == {str(root), f"{root}/b"}


def test_names_that_begin_alike_are_apart(root: LakePath) -> None:
    at(root / "states" / "x").write(b"1")
    at(root / "states-of-old" / "y").write(b"2")
    assert at(root / "states").names() == ["x"]
    assert list(contents(root / "states")) == ["x"]
    at(root / "states").remove_all()
    assert list(contents(root)) == ["states-of-old/y"]


def test_what_is_not_there_is_gone_and_not_broken(root: LakePath) -> None:
    nothing = at(root / "no" / "such")
    assert (nothing.names(), list(nothing.walk())) == ([], [])
    for act in (nothing.read, nothing.stat):
        with pytest.raises(LakeUnavailable) as error, lake_errors(root / "no", "read"):
            act()
        assert is_gone(error.value)
    nothing.remove()
    nothing.remove_all()
    nothing.move(root / "elsewhere")


def test_of_several_who_write_a_new_file_one_does(root: LakePath) -> None:
    tries = [at(root / "note").write_new(content) for content in (b"one", b"two", b"three")]
    assert tries == [True, False, False]
    assert contents(root) == {"note": b"one"}


def test_a_stream_writes_all_or_nothing(root: LakePath) -> None:
    piece = bytes(range(256)) * 4096
    with at(root / "large").stream() as stream:
        for _ in range(7):  # more than one part of an upload
            stream.write(piece)
        assert stream.tell() == 7 * len(piece)
    with suppress(ZeroDivisionError), at(root / "half").stream() as stream:
        stream.write(piece)
        raise ZeroDivisionError
    assert contents(root) == {"large": piece * 7}


def test_a_moved_file_is_only_at_its_new_place(root: LakePath) -> None:
    at(root / "a" / "x").write(b"1")
    at(root / "a" / "x").move(root / "aside" / "x")
    assert contents(root) == {"aside/x": b"1"}
    at(root / "aside" / "x").remove()
    assert contents(root) == {}


def test_a_file_says_how_large_it_is_and_when_it_was_written(root: LakePath) -> None:
    at(root / "x").write(b"123")
    [(_, [listed])] = at(root).walk()
    for path in (listed, root / "x"):
        about = at(path).stat()
        assert about.size_bytes == 3
        assert abs(about.modified - time.time()) < 60


@pytest.fixture(params=["whole", "in parts"])
def table(root: LakePath, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a Parquet file of several megabytes at `t.parquet`, to be read in one of two ways."""
    if request.param == "in parts":
        monkeypatch.setattr(object_storage, "WHOLE_BYTES", 1000)
        monkeypatch.setattr("runfold.sinks.duckdb_objects.WHOLE_BYTES", 1000)
    numbers = pa.array(range(400_000))
    rows = pa.table(
        {"a": numbers, "b": pa.array([f"{n * 7919 % 100_003}" for n in range(400_000)])}
    )
    with at(root / "t.parquet").stream() as stream:
        pq.write_table(rows.replace_schema_metadata({"said": "so"}), stream, row_group_size=20_000)
    return str(root / "t.parquet")


def test_any_part_of_a_parquet_file_can_be_read(root: LakePath, table: str) -> None:
    path = root / "t.parquet"
    assert metadata_of(path)["said"] == "so"
    assert columns_of(path, ["a"])["a"].to_list() == list(range(400_000))
    with parquet_file(path) as parquet:
        assert parquet.read_row_group(17)["a"].to_pylist() == list(range(340_000, 360_000))
    with at(path).copied() as copy:
        assert copy.stat().st_size == at(path).stat().size_bytes
    for _ in range(3):
        with lake_connection(root) as duckdb:
            question = f"select sum(a)::bigint, sum(b::bigint)::bigint, count(*) from '{table}'"
            assert duckdb.execute(question).fetchall() == [
                (79_999_800_000, sum(n * 7919 % 100_003 for n in range(400_000)), 400_000)
            ]


def test_a_question_with_a_pattern_finds_what_it_says(root: LakePath) -> None:
    content = pa.table({"a": [1]})
    for name in (
        "x/date=1/p0.parquet",
        "x/date=2/p1.parquet",
        "x/y/z/p2.parquet",
        "x/p[3].parquet",
    ):
        with at(root / name).stream() as stream:
            pq.write_table(content, stream)
    with lake_connection(root) as duckdb:
        for pattern, count in {
            "x/*/*.parquet": 2,
            "x/**/*.parquet": 4,
            "x/date=?/p1.parquet": 1,
            "x/p[[]3].parquet": 1,
            "x/date=1/p0.parquet": 1,
            "y*/*": 0,
        }.items():
            found = duckdb.execute("select count(*) from glob(?)", [f"{root}/{pattern}"])
            assert (pattern, found.fetchone()) == (pattern, (count,))


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_now_and_then_is_asked_again(
    s3: S3Server, bucket: ObjectPath, status: int
) -> None:
    s3.fail(status=status, requests=3)
    at(bucket / "x").write(b"1")
    s3.fail(status=status, requests=3)
    assert at(bucket / "x").read() == b"1"


def test_a_put_that_was_cut_leaves_what_was_there(s3: S3Server, bucket: ObjectPath) -> None:
    at(bucket / "x").write(b"old")
    s3.fail(cut=True, method="PUT")
    with pytest.raises(LakeUnavailable, match=rf"cannot write {bucket}/x: "):
        write_file(bucket / "x", bytes(300_000))
    s3.fail()
    assert at(bucket / "x").read() == b"old"
    s3.fail(cut=True, method="PUT", requests=1)
    write_file(bucket / "x", b"new")
    assert at(bucket / "x").read() == b"new"


@pytest.mark.parametrize(
    ("status", "says"), [(500, "answers 500 Internal Server Error"), (503, "503"), (403, "denied")]
)
def test_a_server_that_goes_on_failing_is_no_damage(
    s3: S3Server, bucket: ObjectPath, status: int, says: str
) -> None:
    with at(bucket / "t.parquet").stream() as stream:
        pq.write_table(pa.table({"a": [1]}), stream)
    s3.fail(status=status)
    try:
        with pytest.raises(OSError, match=says) as error:
            metadata_of(bucket / "t.parquet")
    finally:
        s3.fail()
    assert error.value.errno in (errno.EIO, errno.EACCES)


@pytest.mark.usefixtures("s3")
def test_no_such_bucket_is_said_so() -> None:
    nowhere = ObjectPath("tests-of-no-bucket", "lake")
    for act in (lambda: write_file(nowhere / "x", b""), lambda: open_lake(nowhere).__enter__()):
        with pytest.raises(LakeUnavailable, match="there is no bucket 'tests-of-no-bucket'") as e:
            act()
        assert not is_gone(e.value)


@pytest.mark.usefixtures("s3")
def test_no_keys_are_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(LakeUnavailable, match="no keys; see AWS_ACCESS_KEY_ID"):
        write_file(ObjectPath("tests-of-no-keys", "x"), b"")


@pytest.mark.usefixtures("s3")
def test_no_server_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(LakeUnavailable, match=r"//127\.0\.0\.1:1 is not reachable; see AWS_"):
        write_file(ObjectPath("tests-of-no-server", "x"), b"")
