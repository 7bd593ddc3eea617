"""The page's routes, for those who accept HTML; others get what else lies at these paths."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope as AsgiScope

from runfold.deploy.cli.tables import human_ago, human_count, human_duration, human_usd
from runfold.deploy.page.questions import EVENTS_SHOWN, FILTERS, fleet, one_run
from runfold.producers.collector.access import Caller, KeyRefused, Scope
from runfold.producers.collector.collector import Collector, password_of
from runfold.producers.collector.problems import Problem
from runfold.schemas.errors import LakeUnavailable, QueryFailed
from runfold.sinks.object_path import LakePath
from runfold.sinks.query import open_lake

Ask = Callable[[Caller], tuple[str, dict[str, Any]]]
"""Asks the lake for a caller; gives the template and what goes into it."""

_SAFE = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_REFRESH = """
// Every five seconds, what has changed: the part of the page that is marked is asked for again.
setInterval(async () => {
  if (document.hidden) return;
  const answer = await fetch(location.href, {headers: {Accept: "text/html"}}).catch(() => null);
  if (!answer || !answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("#live").replaceWith(fresh.querySelector("#live"));
}, 5000);
"""


class _HtmlRoute(APIRoute):
    """A route for browsers: what does not ask for HTML does not see it."""

    def matches(self, scope: AsgiScope) -> tuple[Match, AsgiScope]:
        if scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", ""):
            return super().matches(scope)
        return Match.NONE, {}


def page_routes(collector: Collector, lake: LakePath) -> APIRouter:
    """Return the pages `/` and `/runs/RUN_ID`, and the script that keeps them fresh."""
    templates = Environment(
        loader=PackageLoader("runfold.deploy.page"), autoescape=True, undefined=StrictUndefined
    )
    templates.filters.update(
        ago=_ago,
        count=human_count,
        duration=human_duration,
        usd=human_usd,
        clock=_clock,
        time=_time,
    )
    router = APIRouter(tags=["page"], include_in_schema=False)

    def answered(template: str, content: dict[str, Any], status: int = 200) -> HTMLResponse:
        text = templates.get_template(template).render(content)
        return HTMLResponse(text, status, headers=_SAFE)

    def shown(request: Request, ask: Ask) -> HTMLResponse:
        try:
            caller = collector.admit(request, password_of(request), Scope.READ)
        except KeyRefused as error:
            headers = {"WWW-Authenticate": 'Basic realm="runfold: a key as the password"'}
            raise HTTPException(401, str(error), headers) from error
        except Problem as problem:
            raise HTTPException(problem.status, problem.message, problem.all_headers()) from problem
        try:
            template, content = ask(caller)
        except (LakeUnavailable, QueryFailed) as error:
            return answered("nothing.html", {"message": str(error).splitlines()[0]})
        return answered(template, content)

    @router.get("/refresh.js")
    def refresh() -> Response:
        return Response(_REFRESH, media_type="text/javascript", headers=_SAFE)

    def overview(request: Request) -> HTMLResponse:
        all_agents = request.query_params.get("agents") == "all"
        narrowed = {name: request.query_params.get(name, "") for name in FILTERS}

        def ask(caller: Caller) -> tuple[str, dict[str, Any]]:
            with open_lake(lake) as queries:
                return "fleet.html", fleet(queries, narrowed, caller.project, all_agents=all_agents)

        return shown(request, ask)

    def run(request: Request, run_id: str) -> HTMLResponse:
        def ask(caller: Caller) -> tuple[str, dict[str, Any]]:
            with open_lake(lake) as queries:
                found = one_run(queries, run_id, caller.project)
            if found is None:
                return "nothing.html", {"message": f"There is no run {run_id}."}
            return "run.html", {**found, "most": EVENTS_SHOWN}

        return shown(request, ask)

    html = APIRouter(route_class=_HtmlRoute, include_in_schema=False)
    html.add_api_route("/", overview, methods=["GET"])
    html.add_api_route("/runs/{run_id:path}", run, methods=["GET"])
    router.include_router(html)
    return router


def _ago(moment: datetime | None) -> str:
    return human_ago(moment, datetime.now(UTC))


def _clock(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
