"""What `/openapi.json` says of keys, and of bodies, which the routes read by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import FastAPI
from pydantic import TypeAdapter

Schema = dict[str, Any]

_DEFINED = "#/components/schemas/{model}"
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of `runfold keys`"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class Content(NamedTuple):
    """A form in which a route takes its body; `example` is one that it takes as it is."""

    media_type: str
    schema: Schema
    example: Any = None


def takes(*contents: Content) -> dict[str, Any]:
    """Return what a route's description has beside what FastAPI finds: its body."""
    described: dict[str, Any] = {}
    for each in contents:
        described[each.media_type] = {"schema": each.schema}
        if each.example is not None:
            described[each.media_type]["example"] = each.example
    return {"requestBody": {"required": True, "content": described}}


def schema_of(adapter: TypeAdapter[Any]) -> Schema:
    """Return the schema of what pydantic checks."""
    return adapter.json_schema(ref_template=_DEFINED)


def reference(name: str) -> Schema:
    """Return what stands for a schema that is among the `$defs` of a body's."""
    return {"$ref": _DEFINED.format(model=name)}


def describe(app: FastAPI) -> None:
    """Make the description whole: what bodies define stands where references look for it."""
    by_fastapi: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        whole = by_fastapi()
        components = whole.setdefault("components", {})
        if "securitySchemes" not in components:
            components["securitySchemes"] = _KEYS
            whole["security"] = [{}, *({name: []} for name in _KEYS)]
            components.setdefault("schemas", {}).update(_gathered(whole))
        return whole

    app.openapi = openapi  # type: ignore[method-assign]


def _gathered(whole: dict[str, Any]) -> dict[str, Schema]:
    """Take the definitions out of the bodies of all operations."""
    definitions: dict[str, Schema] = {}
    for path in whole["paths"].values():
        for operation in path.values():
            body = operation.get("requestBody", {})
            for content in body.get("content", {}).values():
                definitions.update(content["schema"].pop("$defs", {}))
    return definitions
