"""Large documents beside the log: put, found again, refused where they are damaged."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from runfold.deploy.cli.app import app
from runfold.deploy.cli.objects import object_words
from runfold.schemas.errors import ConfigurationError, LakeCorrupt, LakeUnavailable
from runfold.sinks.object_path import LakePath
from runfold.sinks.objects import LakeObjects
from tests.buckets import S3Server

CONTENT = b'[{"role":"user"},{"role":"assistant"}]'


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> LakePath:
    if request.param == "folder":
        return tmp_path
    server: S3Server = request.getfixturevalue("s3")
    return server.new_lake()


def test_a_document_is_read_back_by_its_digest(lake: LakePath) -> None:
    objects = LakeObjects(lake)
    put = objects.put(CONTENT)
    assert objects.put(CONTENT) == put
    assert put.size_bytes == len(CONTENT)
    assert objects.get(put.sha256) == CONTENT
    assert objects.get("0" * 64) is None
    assert objects.get(f"../{put.sha256}") is None
    assert objects.beginning_with(put.sha256[:6]) == [put.sha256]
    assert objects.beginning_with("000000") == []


def test_any_reader_of_zstd_opens_it(tmp_path: Path) -> None:
    put = LakeObjects(tmp_path).put(CONTENT)
    rows = duckdb.sql(f"select role from read_json('{tmp_path / put.path}')")
    assert rows is not None
    assert rows.fetchall() == [("user",), ("assistant",)]


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_damaged_document_is_refused_and_mended_by_putting_it_again(
    tmp_path: Path, keep: int
) -> None:
    objects = LakeObjects(tmp_path)
    put = objects.put(CONTENT)
    path = tmp_path / put.path
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(LakeCorrupt, match=put.sha256):
        objects.get(put.sha256)
    objects.put(CONTENT)
    assert objects.get(put.sha256) == CONTENT


def test_a_document_of_another_name_is_refused(tmp_path: Path) -> None:
    objects = LakeObjects(tmp_path)
    one, other = objects.put(CONTENT), objects.put(b"{}")
    (tmp_path / one.path).write_bytes((tmp_path / other.path).read_bytes())
    with pytest.raises(LakeCorrupt, match="is not what its name says"):
        objects.get(one.sha256)


def test_a_lake_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    with pytest.raises(LakeUnavailable, match="objects"):
        LakeObjects(tmp_path).put(CONTENT)


def test_the_command_prints_it_and_says_what_is_not_there(tmp_path: Path) -> None:
    put = LakeObjects(tmp_path).put(CONTENT)

    def show(digits: str) -> Result:
        return CliRunner().invoke(app, ["object", "show", digits, "--lake", str(tmp_path)])

    assert show(put.sha256[:12]).stdout_bytes == CONTENT + b"\n"
    for wrong in ("123", "zzzzzz", "00000000", put.sha256 + "00"):
        answer = show(wrong)
        assert isinstance(answer.exception, ConfigurationError), wrong
        assert answer.stdout == ""


def test_an_event_says_how_to_see_its_document() -> None:
    named = '{"a":1,"runfold.object":{"sha256":"3fa4c0aa11bb22","bytes":12345678,"path":"x"}}'
    assert object_words(named) == "12.3 MB, `runfold object show 3fa4c0aa11bb`"
    for none in (None, "{}", "runfold.object", '{"runfold.object":7}', '["runfold.object"]'):
        assert object_words(none) is None
