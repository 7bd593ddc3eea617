"""A lake in the bucket of an object store, by way of obstore (Rust's `object_store`)."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from runfold.schemas.errors import ConfigurationError
from runfold.sinks.object_path import SCHEME, LakePath, ObjectPath, Stat
from runfold.sinks.object_reading import RangedFile

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

WHOLE_BYTES = 8 * 1024 * 1024
"""An object of so many bytes is read by one request; of a larger one only what is asked for."""
_COPIED_BYTES = 8 * 1024 * 1024
_ATTEMPTS: RetryConfig = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3)},
}
"""What a request makes good by itself; a worker tries again after that."""
_TIMES: ClientConfig = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_SERVER = re.compile(r"https?://[^/\s]+")


@lru_cache
def store_of(bucket: str) -> S3Store:
    """Return the client of a bucket, set up by the usual `AWS_*` variables.

    Raises: ConfigurationError.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", ""))
    options: ClientConfig = {**_TIMES}
    if endpoint.startswith("http:"):
        options["allow_http"] = True
    try:
        return S3Store(bucket, client_options=options, retry_config=_ATTEMPTS)
    except (BaseError, ValueError) as error:
        raise ConfigurationError(f"{SCHEME}{bucket}: {_first_line(error)}") from error


class ObjectLocation:
    """One object, or all whose keys begin alike. See `Location`."""

    __slots__ = ("_path", "_store")

    def __init__(self, path: ObjectPath, store: S3Store) -> None:
        self._path = path
        self._store = store

    @classmethod
    def of(cls, path: ObjectPath) -> ObjectLocation:
        """Return what can be done at `path`. Raises: ConfigurationError."""
        return cls(path, store_of(path.bucket))

    def names(self) -> list[str]:
        """Return the next parts of the keys below."""
        with object_errors(self._path):
            listed = obstore.list_with_delimiter(self._store, self._path.key or None)
        below = [*listed["common_prefixes"], *(each["path"] for each in listed["objects"])]
        return [key.rpartition("/")[2] for key in below]

    def walk(self) -> Iterator[tuple[ObjectPath, list[LakePath]]]:
        """Yield what all keys below begin with, and the objects, by one listing."""
        for folder, files in groupby(sorted(self.objects()), lambda each: each.parent):
            yield folder, list(files)

    def objects(self) -> list[ObjectPath]:
        """Return all objects below. Raises: OSError."""
        with object_errors(self._path):
            return [
                ObjectPath(self._path.bucket, each["path"], _stat(each))
                for page in obstore.list(self._store, self._path.key or None)
                for each in page
            ]

    def stat(self) -> Stat:
        """Return size and time, as of the listing that gave the path."""
        if self._path.listed is not None:
            return self._path.listed
        with object_errors(self._path):
            return _stat(obstore.head(self._store, self._path.key))

    def read(self) -> bytes:
        """Return the content."""
        with object_errors(self._path):
            return bytes(obstore.get(self._store, self._path.key).bytes())

    @contextlib.contextmanager
    def opened(self) -> Iterator[io.IOBase]:
        """Give its content where it is small, else what fetches parts of it."""
        yield self.reader()

    def reader(self) -> io.IOBase:
        """Return what `opened` gives. Raises: OSError."""
        size_bytes = self.stat().size_bytes
        if size_bytes <= WHOLE_BYTES:
            return io.BytesIO(self.read())
        return RangedFile(self.part, size_bytes)

    def part(self, start: int, end: int) -> bytes:
        """Return some bytes of the object, `end` excluded. Raises: OSError."""
        with object_errors(self._path):
            return bytes(obstore.get_range(self._store, self._path.key, start=start, end=end))

    @contextlib.contextmanager
    def copied(self) -> Iterator[Path]:
        """Give a temporary copy of it."""
        with tempfile.NamedTemporaryFile(prefix="runfold-", suffix=f"-{self._path.name}") as copy:
            with object_errors(self._path):
                content = obstore.get(self._store, self._path.key)
                for piece in content.stream(min_chunk_size=_COPIED_BYTES):
                    copy.write(piece)
            copy.flush()
            yield Path(copy.name)

    def write(self, content: bytes | memoryview) -> None:
        """Put the object, by one request or by parts that count once all are there."""
        with object_errors(self._path):
            obstore.put(self._store, self._path.key, bytes(content))

    def write_new(self, content: bytes) -> bool:
        """Put the object under `If-None-Match`."""
        try:
            with object_errors(self._path):
                obstore.put(
                    self._store, self._path.key, content, mode="create", use_multipart=False
                )
        except FileExistsError:
            return False
        return True

    @contextlib.contextmanager
    def stream(self) -> Iterator[IO[bytes]]:
        """Give what writes a temporary file of this machine, which is put when it is whole."""
        with tempfile.TemporaryFile(prefix="runfold-") as whole:
            yield whole
            whole.seek(0)
            with object_errors(self._path):
                obstore.put(self._store, self._path.key, whole)

    def remove(self) -> None:
        """Remove the object."""
        with contextlib.suppress(FileNotFoundError), object_errors(self._path):
            obstore.delete(self._store, self._path.key)

    def remove_all(self) -> None:
        """Remove all objects below."""
        keys = [each.key for each in self.objects()]
        with object_errors(self._path):
            obstore.delete(self._store, keys)

    def move(self, place: LakePath) -> None:
        """Copy the object to `place`, and remove it."""
        if not isinstance(place, ObjectPath):
            raise TypeError(f"{place} is in no bucket")
        with contextlib.suppress(FileNotFoundError), object_errors(self._path):
            obstore.copy(self._store, self._path.key, place.key)
            obstore.delete(self._store, self._path.key)

    def tidy(self) -> None:
        """Do nothing: what was not put whole is not there."""


def _stat(about: obstore.ObjectMeta) -> Stat:
    return Stat(about["size"], about["last_modified"].timestamp())


@contextlib.contextmanager
def object_errors(path: ObjectPath) -> Iterator[None]:
    """Turn what obstore raises into the OSError that a disk would raise.

    Shape: each has an `errno`, by which others tell it from damage in a file.
    """
    try:
        yield
    except (BaseError, OSError) as error:
        number, reason = _reason(error, path)
        raise OSError(number, reason, str(path)) from error


def _reason(error: Exception, path: ObjectPath) -> tuple[int, str]:
    text = str(error)
    code = (_CODE.findall(text) or [""])[0]
    if code == "NoSuchBucket":
        return errno.ENXIO, f"there is no bucket {path.bucket!r}"
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT, "there is no such object"
    if isinstance(error, AlreadyExistsError):
        return errno.EEXIST, "there is such an object"
    if "latest/api/token" in text:  # nothing else is left to ask for keys
        return errno.EACCES, "no keys; see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
    why = f" ({code})" if code else ""
    status = (_STATUS.findall(text) or [""])[0]
    if status.startswith(("401", "403")):
        return errno.EACCES, f"access denied{why}; see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
    if status:
        return errno.EIO, f"the store answers {status}{why}"
    if "kind: Connect" in text:
        server = (_SERVER.findall(text) or ["the store"])[0]
        return errno.EHOSTUNREACH, f"{server} is not reachable; see AWS_ENDPOINT_URL"
    return errno.EIO, _first_line(error)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
