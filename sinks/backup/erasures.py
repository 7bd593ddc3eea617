"""Erasures that a backup cannot know of, since they came after it."""

from __future__ import annotations

from collections.abc import Iterable

from runfold.sinks.backup.contents import Contents
from runfold.sinks.backup.manifest import LAKE, Manifest, find_backup
from runfold.sinks.erasure.record import FOLDER, Erasure, erasures, note_again
from runfold.sinks.object_path import LakePath

_NOTES = f"{LAKE}{FOLDER}/"


def bring_later_erasures(
    place: LakePath, manifest: Manifest, root: LakePath, before: Iterable[Erasure]
) -> list[str]:
    """Note in the restored lake what was erased after its backup; return the ids.

    Shape: known are those of the newest backup in `place`, and `before`, of the lake that was
    there. What they removed is back until somebody erases again.
    Delivery: safe to repeat. Raises: LakeUnavailable, LakeCorrupt.
    """
    own = {(each.path, each.sha256) for each in manifest.files}
    contents = Contents(place)
    later = set()
    for each in find_backup(place).files:
        if each.path.startswith(_NOTES) and (each.path, each.sha256) not in own:
            name = each.path.removeprefix(_NOTES)
            contents.fetch(each, root / FOLDER / name)
            later.add(name.partition(".")[0])
    known = {each.id: each for each in erasures(root)}
    for erasure in before:
        there = known.get(erasure.id)
        if there is None or len(there.runs) < len(erasure.runs):
            note_again(root, erasure)
            later.add(erasure.id)
    return sorted(later)
