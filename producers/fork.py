"""Telling objects that they have woken up in a forked child."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class ForkAware(Protocol):
    """Holds what a child must not share with its parent: locks, threads, files, ids."""

    def after_fork_in_child(self) -> None:
        """Let go of what is the parent's. Runs in the child's only thread; must not raise."""


_aware: WeakSet[ForkAware] = WeakSet()


def watch_forks(one: ForkAware) -> None:
    """Call `one.after_fork_in_child` in every child forked from now on, while `one` lives."""
    _aware.add(one)


def _after_fork_in_child() -> None:
    for one in list(_aware):
        one.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
