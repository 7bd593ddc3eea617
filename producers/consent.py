"""Whether this process may record at all: what its user, and only the user, has said.

Source: section 1.4 of the Automagik SDK's contract, whose switches these are under our names; see
`docs/decisions` for where it differs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from runfold.producers.client_settings import data_dir
from runfold.producers.debug import explain

ENABLED = "RUNFOLD_ENABLED"
CONTENT = "RUNFOLD_CONTENT"
VERBOSE = "RUNFOLD_VERBOSE"
OPT_OUT_FILE = ".runfold-no-telemetry"
"""In the user's home; whatever it holds."""
PREFERENCE_FILE = "telemetry_preference"
"""In the data directory; `enabled` is a yes."""

_YES = frozenset({"1", "true", "yes", "on", "enabled"})
_NO = frozenset({"", "0", "false", "no", "off"})
_CI = (
    "CI", "GITHUB_ACTIONS", "GITLAB_CI", "TRAVIS", "CIRCLECI", "JENKINS", "JENKINS_URL",
    "BUILDKITE", "TF_BUILD", "TEAMCITY_VERSION", "BITBUCKET_BUILD_NUMBER", "CODEBUILD_BUILD_ID",
)  # fmt: skip
_TEST_ENVIRONMENTS = frozenset({"development", "dev", "test", "testing"})


class Consent(NamedTuple):
    """Whether events may be recorded, and what decided it."""

    allowed: bool
    because: str


def consent(*, published: bool, environment: Mapping[str, str] | None = None) -> Consent:
    """Say whether this process may record.

    Shape: DO_NOT_TRACK is a no and RUNFOLD_ENABLED decides, for every agent. Else an agent of the
    user's own may, and a published one may where the user has agreed and it is neither a CI job
    nor a test.
    """
    known = os.environ if environment is None else environment
    if known.get("DO_NOT_TRACK", "").strip().lower() not in _NO:
        return Consent(False, "DO_NOT_TRACK is set")
    if ENABLED in known:
        return Consent(is_yes(known[ENABLED]), f"{ENABLED} is {known[ENABLED]!r}")
    if not published:
        return Consent(True, "it is the user's own agent")
    if _exists(_opt_out_file()):
        return Consent(False, f"there is {_opt_out_file()}")
    for name in _CI:
        if known.get(name, "").strip().lower() not in _NO:
            return Consent(False, f"{name} is set, this is a CI job")
    if known.get("ENVIRONMENT", "").strip().lower() in _TEST_ENVIRONMENTS:
        return Consent(False, f"ENVIRONMENT is {known['ENVIRONMENT']!r}")
    if _preference() in _YES:
        return Consent(True, f"the user has agreed in {_preference_file()}")
    return Consent(False, "the user of a published agent has not agreed")


def save_consent(allowed: bool) -> None:
    """Keep a user's answer for the agents that start from now on. Raises: OSError."""
    preference = _preference_file()
    if allowed:
        preference.parent.mkdir(parents=True, exist_ok=True)
        preference.write_text("enabled\n", "utf-8")
        _opt_out_file().unlink(missing_ok=True)
    else:
        _opt_out_file().touch()
        preference.unlink(missing_ok=True)


def is_yes(text: str | None) -> bool:
    """Say whether a variable's value is a yes."""
    return text is not None and text.strip().lower() in _YES


def _opt_out_file() -> Path:
    try:
        return Path.home() / OPT_OUT_FILE
    except (RuntimeError, OSError):
        return data_dir() / OPT_OUT_FILE


def _preference_file() -> Path:
    return data_dir() / PREFERENCE_FILE


def _preference() -> str:
    try:
        return _preference_file().read_text("utf-8").strip().lower()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        explain("the user's preference cannot be read, it is taken for a no", error)
        return ""


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        explain("the opt-out file cannot be looked for, it is taken for there", error)
    return True
