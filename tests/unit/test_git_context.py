"""What is read from `.git` is what git itself says, and nothing broken in there raises."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runfold.producers import Client
from runfold.producers.git_context import GitWatch, ask_git, read_git_context
from runfold.producers.git_context.config_file import remote_addresses
from runfold.producers.git_context.watch import DIRTY
from tests.memory_log import MemoryLog

ORIGIN = "https://oauth2:glpat-secret@gitlab.example.com:8443/team/crawler.git"


def git(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if "GIT_" not in name}
    who = (
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@example.org",
        "-c",
        "protocol.file.allow=always",
    )
    done = subprocess.run(
        ["git", *who, *arguments],
        cwd=folder,
        env={**environment, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(folder: Path, name: str = "page.txt") -> str:
    (folder / name).write_text(f"{len(list(folder.iterdir()))}\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "a page")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "working-copy"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", ORIGIN)
    commit(folder)
    return folder


def test_repository_branch_and_commit_are_read_from_below_the_work_tree(repository: Path) -> None:
    below = repository / "src" / "deep"
    below.mkdir(parents=True)
    context = read_git_context(below)
    assert context is not None
    assert context.name == "crawler"
    assert context.url == "https://gitlab.example.com:8443/team/crawler"
    assert context.branch == "main"
    assert context.commit == git(repository, "rev-parse", "HEAD")
    assert context.work_tree == repository


def test_a_branch_with_slashes_and_packed_references_are_found(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "feature/très/deep")
    made = commit(repository)
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "feature").exists()
    context = read_git_context(repository)
    assert context is not None
    assert (context.branch, context.commit) == ("feature/très/deep", made)


def test_a_detached_head_has_a_commit_and_no_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    context = read_git_context(repository)
    assert context is not None
    assert (context.branch, context.commit) == (None, git(repository, "rev-parse", "HEAD"))


def test_before_the_first_commit_there_is_only_a_branch(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk")
    context = read_git_context(tmp_path)
    assert context is not None
    assert (context.name, context.url) == (tmp_path.name, None)
    assert (context.branch, context.commit) == ("trunk", None)


def test_a_worktree_has_its_own_branch_and_the_shared_remote(
    repository: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    git(repository, "worktree", "add", "-q", "-b", "fix", str(other))
    made = commit(other)
    context = read_git_context(other)
    assert context is not None
    assert (context.name, context.branch, context.commit) == ("crawler", "fix", made)


def test_a_submodule_is_its_own_repository(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "library"
    inner.mkdir()
    git(inner, "init", "-q", "-b", "main")
    made = commit(inner)
    git(repository, "submodule", "add", "-q", str(inner), "vendor/library")
    context = read_git_context(repository / "vendor" / "library")
    assert context is not None
    assert (context.name, context.commit, context.url) == ("library", made, None)


def test_a_bare_repository_is_read_and_has_no_work_tree(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "served.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(bare, "remote", "remove", "origin")
    context = read_git_context(bare)
    assert context is not None
    assert (context.name, context.work_tree) == ("served", None)
    assert context.commit == git(repository, "rev-parse", "HEAD")


def test_no_repository_is_no_context(tmp_path: Path) -> None:
    assert read_git_context(tmp_path / "does-not-exist") is None
    assert GitWatch(tmp_path).fields() == {}


@pytest.mark.parametrize("odd", [17, "\0", "x" * 5000, ""])
def test_a_folder_that_is_none_does_not_raise(odd: str) -> None:
    read_git_context(odd)


_CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"ref: refs/heads/main\n",
            b"ref: refs/heads/../../secret\n",
            b"ref: refs/heads/loop\n",
            b"ref: /etc/passwd\n",
            b"gitdir: nowhere\n",
            b"gitdir:\n",
            b"a" * 40,
            b"\xff\xfe",
            b"",
        ]
    ),
)
_PLACES = ("HEAD", "config", "commondir", "packed-refs", "refs/heads/main", "refs/heads/loop")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(_PLACES), _CONTENTS, min_size=1), st.booleans())
def test_no_content_of_its_files_raises(files: dict[str, bytes], is_file: bool) -> None:
    with TemporaryDirectory() as root:
        folder = Path(root)
        git_dir = folder / ".git"
        (git_dir / "refs" / "heads").mkdir(parents=True)
        (git_dir / "HEAD").write_text("ref: refs/heads/main\n")
        for name, content in files.items():
            (git_dir / name).write_bytes(content)
        if is_file:
            folder /= "inner"
            folder.mkdir()
            (folder / ".git").write_bytes(next(iter(files.values())))
        read_git_context(folder)


def test_a_reference_outside_of_the_repository_is_not_followed(repository: Path) -> None:
    (repository / "outside").write_text("a" * 40)
    (repository / ".git" / "HEAD").write_text("ref: refs/heads/../../../outside")
    assert read_git_context(repository) is None


def test_git_says_whether_tracked_files_differ(repository: Path) -> None:
    (repository / "untracked.txt").write_text("new")
    clean = ask_git(repository)
    assert clean is not None
    assert not clean.dirty
    assert (clean.branch, clean.commit) == ("main", git(repository, "rev-parse", "HEAD"))
    (repository / "page.txt").write_text("changed")
    changed = ask_git(repository)
    assert changed is not None
    assert changed.dirty


def test_without_git_nobody_knows_whether_it_is_dirty(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert ask_git(repository) is None
    watch = GitWatch(repository)
    watch.fields()
    watch.wait(10)
    assert DIRTY not in watch.fields()
    assert watch.fields()["git_branch"] == "main"


def test_a_watch_says_dirty_once_git_has_answered(repository: Path) -> None:
    (repository / "page.txt").write_text("changed")
    watch = GitWatch(repository)
    first = watch.fields()
    assert first["git_repo"] == "https://gitlab.example.com:8443/team/crawler"
    watch.wait(10)
    assert watch.fields()[DIRTY] is True


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("https://example.org/a.git", "https://example.org/a.git"),
        ('"https://example.org/a b.git"', "https://example.org/a b.git"),
        ("https://example.org/a.git   ; a comment", "https://example.org/a.git"),
        ('"https://example.org/#a" # a comment', "https://example.org/#a"),
        ("https://example.\\\norg/a.git", "https://example.org/a.git"),
        ('"with \\"quotes\\" \\\\ and\\ttab"', 'with "quotes" \\ and\ttab'),
    ],
)
def test_a_configured_address_is_read_as_git_reads_it(
    value: str, read: str, repository: Path
) -> None:
    text = f'[core]\n\turl = no\n[REMOTE "origin"] URL = {value}\n\tfetch = +x\n[other]\nurl=no\n'
    assert remote_addresses(text) == {"origin": read}
    (repository / ".git" / "config").write_text(text)
    assert git(repository, "config", "--get", "remote.origin.url") == read.strip()


def test_a_client_says_what_code_its_runs_ran_where_it_is_asked_to(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    log = MemoryLog()
    for asked in (False, True):
        client = Client(journal_dir=tmp_path / "journal", publisher=log.open, git=asked)
        with client.run(git_branch="mine"):
            pass
        client.close()
    without, asked_for = (each for each in log.events if each["event_type"] == "run.started")
    assert "git_repo" not in without
    assert asked_for["git_repo"] == "https://gitlab.example.com:8443/team/crawler"
    assert asked_for["git_commit_hash"] == git(repository, "rev-parse", "HEAD")
    assert asked_for["git_branch"] == "mine"
