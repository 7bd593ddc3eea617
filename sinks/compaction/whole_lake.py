"""Compacting a whole lake: every partition of every log, and every set of states."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from runfold.schemas.lake import CompactionCounts
from runfold.schemas.offsets import LogPartition
from runfold.sinks.compaction.compactor import Compactor
from runfold.sinks.compaction.plan import plan_to_the_end
from runfold.sinks.compaction.vacuum import removable
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import Kind, list_logs, list_whole_lake
from runfold.sinks.object_path import LakePath
from runfold.sinks.state_sets import all_sets, states_root
from runfold.sinks.storage import at


@dataclass(frozen=True, slots=True)
class Part:
    """What is compacted by itself: one partition below one folder."""

    root: LakePath
    log: LogPartition


@dataclass(frozen=True, slots=True)
class Stored:
    """How much of one kind is stored."""

    files: int
    size_bytes: int


def parts(root: LakePath) -> list[Part]:
    """Return all that can be compacted in the lake in `root`. Raises: LakeUnavailable."""
    with lake_errors(root, "list"):
        return [Part(top, log) for top in tops(root) for log in list_logs(top)]


def stored(root: LakePath) -> dict[Kind, Stored]:
    """Return how much the lake in `root` stores, by kind. Raises: LakeUnavailable."""
    found: dict[Kind, Stored] = {}
    with lake_errors(root, "list"):
        for kind in Kind:
            sizes = []
            for top in tops(root):
                for file in list_whole_lake(top, kind)[0]:
                    with contextlib.suppress(FileNotFoundError):  # removed in this moment
                        sizes.append(at(file.path).stat().size_bytes)
            found[kind] = Stored(len(sizes), sum(sizes))
    return found


def compact_lake(
    root: LakePath, grace: timedelta, on_part: Callable[[Part], None]
) -> CompactionCounts:
    """Compact the lake in `root`, also while workers run; `on_part` is told what comes next.

    Raises: LakeUnavailable.
    """
    done = CompactionCounts()
    for part in parts(root):
        on_part(part)
        done += Compactor(part.root, grace, lake=root).compact(part.log)
    return done


def what_compaction_would_do(root: LakePath, grace: timedelta) -> CompactionCounts:
    """Return what `compact_lake` would do. A merged file is taken to be as large as its sources.

    Shape: what it would merge is removed by it only where there is no grace.
    Raises: LakeUnavailable.
    """
    planned = CompactionCounts()
    for part in parts(root):
        compactor = Compactor(part.root, grace)
        for kind in Kind:
            files = compactor.files(part.log, kind)
            for merge in plan_to_the_end(files):
                files_read, bytes_read = len(merge.tiles), merge.size_bytes
                removed = (0, 0) if grace else (files_read, bytes_read)
                planned += CompactionCounts(files_read, bytes_read, 1, bytes_read, *removed)
            for _, covered in removable(files, grace):
                size_bytes = sum(each.size_bytes for each in covered)
                planned += CompactionCounts(removed_files=len(covered), removed_bytes=size_bytes)
    return planned


def tops(root: LakePath) -> list[LakePath]:
    """Return the folders below which logs lie: the lake, and each set of states of its own."""
    return list(dict.fromkeys([root, *(states_root(root, each.name) for each in all_sets(root))]))
