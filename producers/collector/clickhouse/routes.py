"""ClickHouse's HTTP interface: inserts of telemetry, and whether anybody is there.

Source: the interface's documentation, as far as the Automagik SDKs and their scripts use it. They
take 200 alone for success, and give up what is answered otherwise; so of a batch the good rows are
taken, and the others are kept as dead letters.
"""

from __future__ import annotations

from base64 import b64decode

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.routing import Match
from starlette.types import Scope as AsgiScope

from runfold.producers.collector.access import Caller, KeyRefused, Scope
from runfold.producers.collector.clickhouse.rows import read_rows
from runfold.producers.collector.clickhouse.statements import (
    SERVER_VERSION,
    ClickHouseError,
    Insert,
    answer_to,
    parse_statement,
)
from runfold.producers.collector.collector import Collector, bearer_of
from runfold.producers.collector.descriptions import Content, takes
from runfold.producers.collector.otlp.intake import take
from runfold.producers.collector.otlp.translation import Rows
from runfold.producers.collector.problems import Problem, answering

API = "clickhouse"

_ROW = """\
{"trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174", \
"timestamp": "2026-01-31 12:00:00.000000", "service_name": "shop", "span_name": "checkout"}
"""
_QUERY = {
    "parameters": [
        {
            "name": "query",
            "in": "query",
            "description": "The statement, or its beginning: the body goes on with it",
            "schema": {"type": "string"},
            "example": "INSERT INTO telemetry.traces FORMAT JSONEachRow",
        }
    ]
}


def clickhouse_routes(collector: Collector) -> APIRouter:
    """Return `POST /`, `GET /?query=` and `GET /ping`."""

    async def statement(request: Request) -> Response:
        """Insert rows of traces, metrics or logs; answer SELECT 1.

        Delivery: answered when Kafka has acknowledged. 503 with Retry-After: send all again.
        """
        try:
            return await _answer(collector, request)
        except ClickHouseError as error:
            return _failed(error)

    async def ping() -> Response:
        """Say that somebody is there."""
        return PlainTextResponse("Ok.\n")

    router = APIRouter(tags=[API], route_class=_Route)
    router.add_api_route(
        "/",
        statement,
        methods=["POST"],
        summary="Insert rows as into ClickHouse",
        openapi_extra={**takes(Content("text/plain", {"type": "string"}, _ROW)), **_QUERY},
    )
    router.add_api_route("/ping", ping, summary="ClickHouse's ping")
    router.add_api_route("/ping", ping, methods=["HEAD"], include_in_schema=False)
    asking = APIRouter(tags=[API], route_class=_AskingRoute, include_in_schema=False)
    asking.add_api_route("/", statement, methods=["GET"])
    router.include_router(asking)
    return router


async def _answer(collector: Collector, request: Request) -> Response:
    caller = _admitted(collector, request)
    query = request.query_params.get("query", "").encode("utf-8", "replace")
    asked = parse_statement(query, await collector.body(request))
    if isinstance(asked, Insert):
        return await _insert(collector, caller, asked)
    given = request.query_params.get("default_format", "")
    return PlainTextResponse(answer_to(asked, given))


async def _insert(collector: Collector, caller: Caller, insert: Insert) -> Response:
    if not insert.rows.strip():
        return PlainTextResponse("")
    try:
        signal, batch = read_rows(insert.rows)
    except ValueError as error:
        message = f"Cannot parse input: {error}: (into {insert.table})"
        raise ClickHouseError(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", message) from error
    outcome = await take(collector, caller, Rows(signal, insert.rows, True, batch), api=API)
    if not outcome.rejected:
        return PlainTextResponse("")
    structlog.get_logger(__name__).warning("rows kept aside", told=outcome.message)
    return PlainTextResponse(f"Rows not taken: {outcome.rejected}. {outcome.message}\n")


def _admitted(collector: Collector, request: Request) -> Caller:
    """Return who calls, by the password."""
    try:
        return collector.admit(request, _password(request), Scope.INGEST)
    except KeyRefused as error:
        message = f"default: Authentication failed: {error}"
        status = 401 if error.missing else 403
        raise ClickHouseError(516, "AUTHENTICATION_FAILED", message, status) from error


def _password(request: Request) -> str | None:
    words = request.headers.get("authorization", "").split()
    if len(words) == 2 and words[0].lower() == "basic":
        try:
            return b64decode(words[1], validate=True).decode().partition(":")[2] or None
        except ValueError:
            return None
    given = request.headers.get("x-clickhouse-key") or request.query_params.get("password")
    return given or bearer_of(request)


def _failed(error: ClickHouseError) -> Response:
    text = f"Code: {error.code}. DB::Exception: {error}. ({error.name}) (version {SERVER_VERSION})"
    headers = {"X-ClickHouse-Exception-Code": str(error.code)}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return PlainTextResponse(f"{text}\n", error.status, headers)


def _render(problem: Problem) -> Response:
    """Word a problem; 503 in place of 429, at which some of the clients give rows up."""
    status = 503 if problem.status == 429 else problem.status
    return PlainTextResponse(f"{problem.message}\n", status, problem.all_headers())


_Route = answering(_render)


class _AskingRoute(_Route):  # type: ignore[misc, valid-type]
    """A route for what asks with a statement in the address: `GET /` alone is another API's."""

    def matches(self, scope: AsgiScope) -> tuple[Match, AsgiScope]:
        """Tell whether there is a statement."""
        if scope["type"] == "http" and b"query=" in scope.get("query_string", b""):
            found: tuple[Match, AsgiScope] = super().matches(scope)
            return found
        return Match.NONE, {}
