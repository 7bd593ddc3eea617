"""Whether a user lets a program record: files in the home folder, and the environment."""

from __future__ import annotations

import os
from pathlib import Path

from runfold.producers.compat.automagik.config import ENV_VARS, TRUE_WORDS
from runfold.producers.consent import consent
from runfold.producers.debug import explain

CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "TRAVIS", "JENKINS", "GITLAB_CI", "CIRCLECI")
_TEST_ENVIRONMENTS = ("development", "dev", "test", "testing")


def preference_file() -> Path:
    """Return where a user's yes is kept, for all Automagik projects."""
    return _home() / ".automagik" / "telemetry_preference"


def opt_out_file() -> Path:
    """Return the file whose being there is a user's no."""
    return _home() / ".automagik-no-telemetry"


def user_id_file() -> Path:
    """Return where a user's anonymous id is kept."""
    return _home() / ".automagik" / "user_id"


def forbidden() -> bool:
    """Say whether DO_NOT_TRACK or RUNFOLD_ENABLED silences every client, whatever else is set."""
    return not consent(published=False).allowed


def is_ci() -> bool:
    """Say whether this is a machine of continuous integration."""
    return any(os.environ.get(each) for each in CI_VARIABLES)


def word_of_environment() -> bool | None:
    """Return what AUTOMAGIK_TELEMETRY_ENABLED says; None where it is not set."""
    word = os.environ.get(ENV_VARS["ENABLED"])
    return None if word is None else word.lower() in TRUE_WORDS


def stored_preference() -> bool | None:
    """Return the user's stored yes or no; None where there is neither."""
    if is_file(opt_out_file()):
        return False
    try:
        word = preference_file().read_text("utf-8").strip().lower()
    except (OSError, UnicodeDecodeError):
        return None
    return word in ("true", "yes", "1", "enabled")


def starts_enabled(wish: bool | None) -> bool:
    """Say whether a new client records.

    Shape: what is set first decides: DO_NOT_TRACK and a no in RUNFOLD_ENABLED;
    AUTOMAGIK_TELEMETRY_ENABLED; the opt-out file, CI and test environments, which all say no;
    `wish`, the program's own; the user's stored yes.
    """
    if forbidden():
        return False
    word = word_of_environment()
    if word is not None:
        return word
    stored = stored_preference()
    if stored is False or is_ci() or os.environ.get("ENVIRONMENT") in _TEST_ENVIRONMENTS:
        return False
    return bool(stored) if wish is None else wish


def is_file(path: Path) -> bool:
    """Say whether `path` is there, as far as it can be known."""
    try:
        return path.exists()
    except OSError:
        return False


def write(path: Path, text: str) -> None:
    """Write a small file; a home folder that cannot be written is only explained."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        explain(f"{path} cannot be written", error)


def remove(path: Path) -> None:
    """Remove a file; one that cannot be removed is only explained."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        explain(f"{path} cannot be removed", error)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # no home: what is read is not there, what is written fails
        return Path("/nonexistent")
