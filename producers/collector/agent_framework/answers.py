"""How the Agent Framework's collector words its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import PlainTextResponse

from runfold.producers.collector.agent_framework.issues import Issue, zod_error
from runfold.producers.collector.problems import Problem, answering

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET,POST",
    "Access-Control-Allow-Headers": "Content-Type,X-API-Key",
}


@dataclass(eq=False)
class Invalid(Exception):
    """A body is not taken; `issues` say why, field by field."""

    issues: list[Issue]


def json_answer(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def not_found() -> Response:
    """Return what a path that is none of the collector's is answered with."""
    return PlainTextResponse("404 Not Found", 404)


def malformed_json() -> Response:
    """Return what a body that is no JSON is answered with."""
    return PlainTextResponse("Malformed JSON in request body", 400)


def _render(problem: Problem) -> Response:
    return json_answer(problem.status, {"error": problem.message}, problem.all_headers())


class AgentFrameworkRoute(answering(_render)):  # type: ignore[misc]
    """Answers for pages of any origin, and invalid bodies as zod words them."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return what answers a request."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response: Response = await handle(request)
            except Invalid as invalid:
                response = json_answer(400, zod_error(invalid.issues))
            response.headers.update(_CORS)
            return response

        return answer
