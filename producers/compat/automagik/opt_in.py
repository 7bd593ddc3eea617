"""Asking a user once whether a program may record, and keeping the answer."""

from __future__ import annotations

import os
import sys

from runfold.producers.compat.automagik import switches
from runfold.producers.compat.automagik.config import ENV_VARS

_PROMPT = """
Help improve {project}?

  Recorded, if you say yes: which features you use, how long they take, and errors.
  Never recorded: your messages, files, API keys and passwords.
  Your answer holds for all Automagik projects. AUTOMAGIK_TELEMETRY_ENABLED=false says no
  at any time, AUTOMAGIK_TELEMETRY_VERBOSE=true shows what is recorded.

"""


class TelemetryOptIn:
    """A user's decision: asked for once, kept in the home folder, respected by every client."""

    @classmethod
    def has_user_decided(cls) -> bool:
        """Say whether there is a preference file, an opt-out file, or a switch set."""
        return (
            switches.forbidden()
            or os.environ.get(ENV_VARS["ENABLED"]) is not None
            or switches.is_file(switches.preference_file())
            or switches.is_file(switches.opt_out_file())
        )

    @classmethod
    def get_user_preference(cls) -> bool | None:
        """Return the decision: a stored one, else the environment's; None where there is none."""
        if switches.forbidden():
            return False
        stored = switches.stored_preference()
        return switches.word_of_environment() if stored is None else stored

    @classmethod
    def save_preference(cls, enabled: bool) -> None:
        """Keep a decision; a home folder that cannot be written raises nothing."""
        if enabled:
            switches.remove(switches.opt_out_file())
            switches.write(switches.preference_file(), "enabled")
        else:
            switches.write(switches.opt_out_file(), "")
            switches.remove(switches.preference_file())

    @classmethod
    def prompt_user(cls, project_name: str = "Automagik") -> bool:
        """Return the decision, asked for where there is none and someone sits there to ask.

        Shape: only y and yes say yes; Enter, Ctrl-C and Ctrl-D say no. The answer is kept.
        """
        if cls.has_user_decided():
            return bool(cls.get_user_preference())
        if not cls._is_interactive():
            return False
        try:
            sys.stdout.write(_PROMPT.format(project=project_name))
            enabled = input("Enable telemetry? [y/N]: ").strip().lower() in ("y", "yes")
        except (KeyboardInterrupt, EOFError):
            enabled = False
        cls.save_preference(enabled)
        sys.stdout.write(f"\nTelemetry {'enabled, thank you' if enabled else 'disabled'}.\n")
        return enabled

    @staticmethod
    def _is_interactive() -> bool:
        return sys.stdin.isatty() and sys.stdout.isatty() and not switches.is_ci()


def should_prompt_user(project_name: str = "Automagik") -> bool:  # noqa: ARG001  as published
    """Say whether the user has not decided yet and can be asked."""
    return not TelemetryOptIn.has_user_decided() and TelemetryOptIn._is_interactive()


def prompt_user_if_needed(project_name: str = "Automagik") -> bool:
    """Return the user's decision, asked for where need be."""
    return TelemetryOptIn.prompt_user(project_name)
