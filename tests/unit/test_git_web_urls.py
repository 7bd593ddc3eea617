"""Links into the pages of a repository's host, which never show a secret."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runfold.producers.git_context import Platform, commit_url, platform_of, web_url

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("address", "page", "below"),
    [
        ("https://github.com/o/r.git", "https://github.com/o/r", "commit"),
        ("git@github.com:o/r.git", "https://github.com/o/r", "commit"),
        ("github.com:o/r", "https://github.com/o/r", "commit"),
        ("ssh://git@ssh.github.com:443/o/r.git", "https://github.com/o/r", "commit"),
        ("git://github.com/o/r.git/", "https://github.com/o/r", "commit"),
        ("HTTPS://GitHub.com/O/R", "https://GitHub.com/O/R", "commit"),
        ("https://github.acme.io/o/r", "https://github.acme.io/o/r", "commit"),
        ("https://gitlab.com/a/b/c/r.git", "https://gitlab.com/a/b/c/r", "-/commit"),
        ("git@gitlab.acme.io:a/b/r.git", "https://gitlab.acme.io/a/b/r", "-/commit"),
        (
            "ssh://git@gitlab.acme.io:2222/a/r.git",
            "https://gitlab.acme.io/a/r",
            "-/commit",
        ),
        ("https://gitlab.acme.io:8443/a/r.git", "https://gitlab.acme.io:8443/a/r", "-/commit"),
        ("https://u@bitbucket.org/o/r.git", "https://bitbucket.org/o/r", "commits"),
        ("git@bitbucket.org:o/r.git", "https://bitbucket.org/o/r", "commits"),
        (
            "https://bitbucket.acme.io/scm/KEY/r.git",
            "https://bitbucket.acme.io/projects/KEY/repos/r",
            "commits",
        ),
        (
            "ssh://git@git.acme.io:7999/~ann/r.git",
            "https://git.acme.io/users/ann/repos/r",
            "commits",
        ),
        ("http://git.acme.io:3000/o/r.git", "http://git.acme.io:3000/o/r", "commit"),
        ("https://[2001:db8::1]:8443/o/r", "https://[2001:db8::1]:8443/o/r", "commit"),
        (
            "https://git.acme.io/o/a b.git".replace(" ", "%20"),
            "https://git.acme.io/o/a%20b",
            "commit",
        ),
        ("git+ssh://git@codeberg.org/o/r", "https://codeberg.org/o/r", "commit"),
    ],
)
def test_a_remote_has_a_page_and_its_commits_have_one(address: str, page: str, below: str) -> None:
    assert web_url(address) == page
    assert commit_url(address, SHA) == f"{page}/{below}/{SHA}"


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "   ",
        "/srv/git/r.git",
        "../r.git",
        "C:/work/r",
        "C:\\work\\r",
        "file:///srv/git/r.git",
        "https://github.com",
        "https://github.com/",
        "https://github.com:99999999/o/r",
        "https://github.com:port/o/r",
        "https:///o/r",
        "https://github.com/o/../../r",
        "javascript:alert(1)//github.com/o/r",
        "ext::sh -c whoami",
        "https://exa mple.org/o/r",
        "https://git\nhub.com/o/r",
        "https://to/ken@github.com/o/r",
        "https://user:to#ken@github.com/o/r",
        "https://to?ken@github.com/o/r",
        "https://[::1/o/r",
    ],
)
def test_what_is_no_address_on_the_network_has_no_page(address: str | None) -> None:
    assert web_url(address) is None
    assert commit_url(address, SHA) is None


@pytest.mark.parametrize("commit", [None, "", "abc", "zzzzzzz", f"{SHA}\n", "../../evil", "a" * 65])
def test_what_is_no_commit_has_no_page(commit: str | None) -> None:
    assert commit_url("https://github.com/o/r", commit) is None


def test_the_name_of_another_host_does_not_make_it_that_host() -> None:
    assert platform_of("https://evil.com/github.com/x") is None
    assert platform_of("https://git.example.com/o/r") is None
    assert platform_of("git@gitlab.example.com:o/r") is Platform.GITLAB


def test_a_platform_can_be_said_where_the_host_does_not_tell() -> None:
    address = "git@code.acme.io:o/r.git"
    assert commit_url(address, SHA, platform=Platform.GITLAB) == (
        f"https://code.acme.io/o/r/-/commit/{SHA}"
    )


_SECRET = "s3cr3tT0ken"
_AROUND = st.text("abc:/@#?%&=+ []\\", max_size=6)


@given(_AROUND, _AROUND, st.sampled_from(["https", "http", "ssh", "git", "git+https"]))
@example("user:", "", "https")
@example("", "/", "https")
@example("user:1", "/x", "https")
def test_no_user_password_or_token_reaches_a_page(before: str, after: str, scheme: str) -> None:
    address = f"{scheme}://{before}{_SECRET}{after}@git.example.org/o/r.git"
    for page in (web_url(address), commit_url(address, SHA)):
        assert page is None or _SECRET not in page
