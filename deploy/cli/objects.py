"""`runfold object`: the large documents that events name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from runfold.deploy.cli.terminal import DataDir, Lake
from runfold.deploy.settings import load_settings
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.objects import OBJECT_ATTRIBUTE

if TYPE_CHECKING:
    from runfold.sinks.objects import LakeObjects

object_app = typer.Typer(
    name="object",
    no_args_is_help=True,
    help="Read large documents, which lie beside the events that name them.",
)

_FEWEST_DIGITS = 6
_SHOWN_DIGITS = 12


@object_app.callback()
def _objects() -> None:
    pass


@object_app.command("show")
def show(
    sha256: Annotated[str, typer.Argument(help="The document's sha256, or its beginning.")],
    lake: Lake = None,
    data_dir: DataDir = None,
) -> None:
    """Print one document, which is JSON: the attributes of the event that names it.

    `runfold run ID` says which events have one. Example: runfold object show 3fa4c0 | jq .messages
    """
    from runfold.sinks.objects import LakeObjects

    objects = LakeObjects(load_settings(lake=lake, data_dir=data_dir).lake_dir)
    content = objects.get(_meant(objects, sha256.strip().lower()))
    if content is None:
        raise ConfigurationError(f"there is no object {sha256!r}")
    sys.stdout.buffer.write(content + b"\n")


def object_words(attributes: str | None) -> str | None:
    """Return how to see the document that an event's attributes name, None where there is none."""
    if attributes is None or OBJECT_ATTRIBUTE not in attributes:
        return None
    try:
        named = orjson.loads(attributes)[OBJECT_ATTRIBUTE]
        size, digest = int(named["bytes"]), str(named["sha256"])
    except (ValueError, LookupError, TypeError):
        return None
    return f"{size / 1e6:.1f} MB, `runfold object show {digest[:_SHOWN_DIGITS]}`"


def _meant(objects: LakeObjects, digits: str) -> str:
    if len(digits) < _FEWEST_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise ConfigurationError(f"not the sha256 of an object, nor six digits of it: {digits!r}")
    found = objects.beginning_with(digits)
    if not found:
        raise ConfigurationError(f"there is no object {digits!r} in the lake")
    if len(found) > 1:
        raise ConfigurationError(f"{digits!r} is the beginning of several: {', '.join(found[:5])}")
    return found[0]
