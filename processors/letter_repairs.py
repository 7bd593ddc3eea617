"""What makes an event of a dead letter: an expression in Python or jq, or another schema."""

from __future__ import annotations

import base64
import json
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from runfold.processors.errors import RepairFailed
from runfold.schemas.codec.decoder import decode_body
from runfold.schemas.codec.framing import (
    CONFLUENT_HEADER_BYTES,
    CONFLUENT_MAGIC,
    SINGLE_OBJECT_HEADER_BYTES,
    SINGLE_OBJECT_MAGIC,
)
from runfold.schemas.codec.registry import SchemaVersion, latest, schema_of
from runfold.schemas.compatibility import incompatibilities
from runfold.schemas.errors import ConfigurationError, EventRejected
from runfold.schemas.kept_letter import KeptLetter


class Repair(Protocol):
    """Makes an event of a letter: the same one each time."""

    @property
    def by(self) -> str:
        """What is noted on a letter that this repaired."""

    def __call__(self, letter: KeptLetter, event: Any) -> Any:
        """Return the event as a dict, or None where the letter is to be left alone.

        Shape: `event` is what could be read of the letter; it may be changed.
        Raises: RepairFailed.
        """


class PythonRepair:
    """A Python expression over what a letter holds.

    Raises: ConfigurationError where it is none.
    """

    def __init__(self, expression: str) -> None:
        self.by = f"python: {expression}"
        try:
            self._code = compile(expression.strip(), "--python", "eval")
        except (SyntaxError, ValueError) as error:
            raise ConfigurationError(f"--python is no expression: {error}") from error

    def __call__(self, letter: KeptLetter, event: Any) -> Any:
        """Evaluate the expression; see `Repair`."""
        names = {
            "event": event,
            "value": letter.value,
            "key": letter.key,
            "reason": letter.reason,
            "message": letter.message,
            "offset": letter.place.offset,
        }
        try:
            return eval(self._code, names)
        except Exception as error:  # the expression is the caller's
            raise RepairFailed(f"--python: {type(error).__name__}: {error}") from error


class JqRepair:
    """A jq program over the same names as a JSON document; the value is in base64.

    Raises: ConfigurationError where it is none, or jq is not installed.
    """

    def __init__(self, program: str) -> None:
        self.by = f"jq: {program}"
        try:
            import jq  # an extra of its own: few need it
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "--jq needs the package jq; install it with: pip install 'runfold[jq]'"
            ) from error
        try:
            self._program = jq.compile(program)
        except ValueError as error:
            raise ConfigurationError(f"--jq: {error}") from error

    def __call__(self, letter: KeptLetter, event: Any) -> Any:
        """Run the program; see `Repair`. No result at all leaves the letter alone, too."""
        document = {
            "event": event,
            "value": None if letter.value is None else base64.b64encode(letter.value).decode(),
            "key": None if letter.key is None else letter.key.decode(errors="replace"),
            "reason": letter.reason,
            "message": letter.message,
            "offset": letter.place.offset,
        }
        try:
            results = list(islice(iter(self._program.input_value(document)), 2))
        except ValueError as error:
            raise RepairFailed(f"--jq: {error}") from error
        if len(results) > 1:
            raise RepairFailed("--jq: several results where one event is needed")
        return results[0] if results else None


class SchemaRepair:
    """The schema that the bytes were written with; ours reads them by Avro's rules.

    Shape: the bytes may begin with either framing's header, or with none.
    Raises: ConfigurationError where the file holds no schema that ours can read.
    Source: Apache Avro specification, "Schema Resolution".
    """

    def __init__(self, path: Path) -> None:
        self._reader = latest("event")
        self._writer = _load(path, self._reader)
        self.by = f"schema: {path.name} {self._writer.fingerprint.hex()}"

    def __call__(self, letter: KeptLetter, event: Any) -> Any:
        """Decode the letter; see `Repair`."""
        del event
        if letter.value is None:
            raise RepairFailed("--schema: the record has no value")
        try:
            decoded = decode_body(_body(letter.value), self._writer, self._reader)
        except EventRejected as error:
            raise RepairFailed(f"--schema: {error.message}") from error
        except SchemaResolutionError as error:
            raise RepairFailed("--schema: a field holds what an event cannot") from error
        if letter.key is not None and decoded["run_id"].encode() != letter.key:
            raise RepairFailed(
                "--schema: by it the run is "
                f"{decoded['run_id'][:64]!r}, by the record's key {letter.key[:64]!r}"
            )
        return decoded


def _load(path: Path, reader: SchemaVersion) -> SchemaVersion:
    try:
        definition = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"--schema {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"--schema {path}: not JSON: {error}") from error
    if not isinstance(definition, dict) or definition.get("type") != "record":
        raise ConfigurationError(f"--schema {path}: not the schema of a record")
    names = {name: reader.definition[name] for name in ("name", "namespace")}
    try:
        writer = schema_of({**definition, **names}, reader.name, 0)  # whatever it calls events
        problems = incompatibilities(reader.definition, writer.definition)
    except (SchemaParseException, ValueError, KeyError) as error:
        raise ConfigurationError(f"--schema {path}: no Avro schema: {error!r}") from error
    if problems:
        raise ConfigurationError(f"--schema {path}: no event: {'; '.join(problems)}")
    return writer


def _body(value: bytes) -> bytes:
    headers = {
        SINGLE_OBJECT_MAGIC: SINGLE_OBJECT_HEADER_BYTES,
        CONFLUENT_MAGIC: CONFLUENT_HEADER_BYTES,
    }
    return value[next((size for magic, size in headers.items() if value.startswith(magic)), 0) :]
