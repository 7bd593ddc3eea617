"""Looking through a lake for what should not be there any more."""

from __future__ import annotations

from runfold.schemas.errors import LakeCorrupt
from runfold.sinks.compaction.whole_lake import tops
from runfold.sinks.erasure.record import Erasure
from runfold.sinks.erasure.rewriting import runs_in
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import Kind, list_set_aside, list_whole_lake
from runfold.sinks.object_path import LakePath


def places_in_lake(root: LakePath, erasure: Erasure) -> list[str]:
    """Return the files that have rows of the runs of `erasure`, and those that nobody can read.

    Raises: LakeUnavailable.
    """
    found: list[str] = []
    for top in tops(root):
        with lake_errors(top, "list"):
            files = [file for kind in Kind for file in list_whole_lake(top, kind)[0]]
            found += [f"{path}: it was set aside and may hold rows" for path in list_set_aside(top)]
        for file in files:
            try:
                runs = runs_in(top, file, erasure)
            except LakeCorrupt as error:
                found.append(str(error))
                continue
            if runs:
                found.append(f"{file.path}: {len(runs)} runs")
    return found
