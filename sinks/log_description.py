"""What a lake notes of each of its logs, in `<topic id>/log.json`."""

from __future__ import annotations

from dataclasses import asdict

import orjson

from runfold.schemas.errors import ConfigurationError
from runfold.schemas.lake import LogDescription
from runfold.sinks.lake_errors import lake_errors
from runfold.sinks.lake_files import topic_folder
from runfold.sinks.object_path import LakePath
from runfold.sinks.storage import at, write_file

_FILE = "log.json"


def read_description(root: LakePath, topic_id: str) -> LogDescription | None:
    """Return what is noted of a log, None where nothing is.

    Raises: LakeUnavailable; ConfigurationError (halt) where the note cannot be read.
    """
    path = topic_folder(root, topic_id) / _FILE
    with lake_errors(path, "read"):
        try:
            content = at(path).read()
        except FileNotFoundError:
            return None
    try:
        return LogDescription(**orjson.loads(content))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{path} does not describe a log ({error}); remove it, and a worker notes it anew"
        ) from error


def describe(root: LakePath, log: LogDescription) -> LogDescription:
    """Note what `log` is where nothing is noted of it yet; return what is noted.

    Raises: LakeUnavailable; ConfigurationError (halt) where the note cannot be read.
    """
    noted = read_description(root, log.topic_id)
    if noted is not None:
        return noted
    path = topic_folder(root, log.topic_id) / _FILE
    with lake_errors(path, "write"):
        is_first = at(path).write_new(_content(log))
    return log if is_first else read_description(root, log.topic_id) or log


def write_description(root: LakePath, log: LogDescription) -> None:
    """Note what `log` is, whatever was noted of it. Raises: LakeUnavailable."""
    path = topic_folder(root, log.topic_id) / _FILE
    write_file(path, _content(log))


def _content(log: LogDescription) -> bytes:
    return orjson.dumps(asdict(log), option=orjson.OPT_INDENT_2)
