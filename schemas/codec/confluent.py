"""A schema registry, for logs whose records are framed with its ids.

Source: the Confluent Schema Registry API, `GET /schemas/ids/{id}` and
`POST /subjects/{subject}/versions`.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form

from runfold.schemas.codec.framing import EVENT_FRAMING, Framing
from runfold.schemas.codec.registry import SchemaVersion, by_fingerprint, latest
from runfold.schemas.errors import RegistryUnavailable

_TIMEOUT_SECONDS = 5.0
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


def event_framing(schema_registry: str | None) -> Framing:
    """Return how records of events are framed where a registry of that URL is used, or none."""
    if schema_registry is None:
        return EVENT_FRAMING
    return Framing("event", RegistryIds(schema_registry, "event"))


class RegistryIds(Mapping[int, SchemaVersion]):
    """The versions of schema `name` by the ids that a registry gave them.

    An id is asked for once. It is absent where the registry does not know it, or knows it for
    another schema than a version of ours.
    Raises: RegistryUnavailable (retry), on any look-up of an id that was not asked for yet.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url.rstrip("/")
        self._name = name
        self._known: dict[int, SchemaVersion | None] = {}

    def __getitem__(self, schema_id: int) -> SchemaVersion:
        if schema_id not in self._known:
            self._known[schema_id] = self._ask(schema_id)
        version = self._known[schema_id]
        if version is None:
            raise KeyError(schema_id)
        return version

    def __iter__(self) -> Iterator[int]:
        return (each for each, version in self._known.items() if version is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def register(self, subject: str) -> int:
        """Make the newest version of the schema known under `subject`; return its id.

        Delivery: idempotent. Raises: RegistryUnavailable (retry).
        """
        body = {"schema": json.dumps(latest(self._name).definition), "schemaType": "AVRO"}
        answer = self._request(f"/subjects/{subject}/versions", body)
        if answer is None:
            raise RegistryUnavailable(f"{self._url} has no subject {subject!r} and takes none")
        return int(answer["id"])

    def _ask(self, schema_id: int) -> SchemaVersion | None:
        answer = self._request(f"/schemas/ids/{schema_id}")
        if answer is None:
            return None
        try:
            canonical = to_parsing_canonical_form(json.loads(answer["schema"]))
        except (KeyError, ValueError, SchemaParseException):
            return None
        crc = bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
        return by_fingerprint(self._name).get(crc)

    def _request(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data, {"Accept": _MEDIA_TYPE, "Content-Type": _MEDIA_TYPE}
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            raise RegistryUnavailable(f"{self._url}{path} answers {error.code}") from error
        except (OSError, ValueError) as error:
            raise RegistryUnavailable(f"no answer from {self._url}{path}: {error}") from error
        return answer if isinstance(answer, dict) else None
