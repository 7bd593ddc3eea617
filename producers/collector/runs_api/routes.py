"""The routes of the runs API, on whichever port the collector serves."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from runfold.producers.collector.access import Caller
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.problems import Problem, answering
from runfold.producers.collector.runs_api import descriptions
from runfold.producers.collector.runs_api.answers import (
    checked,
    json_answer,
    parsed_body,
    render,
    render_invalid,
)
from runfold.producers.collector.runs_api.checks import (
    invalid_record,
    invalid_status,
    violation_of,
    with_status,
)
from runfold.producers.collector.runs_api.filters import filter_of
from runfold.producers.collector.runs_api.follower import RunsFollower
from runfold.producers.collector.runs_api.guard import Guard
from runfold.producers.collector.runs_api.mapping import KnownRun
from runfold.producers.collector.runs_api.models import MadeCommit, NewRun, RunChange
from runfold.producers.collector.runs_api.queries import RunQueries
from runfold.producers.collector.runs_api.recorder import (
    Created,
    Duplicate,
    Refused,
    RunRecorder,
    TooLarge,
)
from runfold.producers.collector.runs_api.settings import RunsApiSettings
from runfold.producers.collector.standing import prometheus_answer, wants_prometheus
from runfold.producers.compat.local_telemetry.status import CANONICAL_STATUSES, normalize_status

_VERSION = "3.0.0"
_JOURNAL_MODE, _SYNCHRONOUS = "DELETE", "FULL"
"""What clients of the replaced service ask for; an event is on Kafka's disks before its answer."""

EventId = Annotated[str, Path()]
_NEW_RUN, _NEW_RUNS = TypeAdapter(NewRun), TypeAdapter(list[NewRun])
_CHANGE, _COMMIT = TypeAdapter(RunChange), TypeAdapter(MadeCommit)


def runs_api_routes(
    collector: Collector, follower: RunsFollower, settings: RunsApiSettings
) -> APIRouter:
    """Return the API of the Local Telemetry Platform's service, version 3.0.0."""
    api = _RunsApi(collector, follower, settings)
    router = APIRouter(tags=["runs"], route_class=answering(render, render_invalid))
    runs, one = "/api/v1/runs", "/api/v1/runs/{event_id}"
    router.post(
        runs,
        status_code=201,
        responses={200: {"description": "A duplicate, where the setting says so"}},
        openapi_extra=descriptions.NEW_RUN,
    )(api.post_run)
    router.post(
        f"{runs}/batch",
        responses={201: {"description": 'A body of the form {"runs": [...]}'}},
        openapi_extra=descriptions.NEW_RUNS,
    )(api.post_batch)
    router.get(runs)(api.list_runs)
    router.get(one)(api.get_run)
    router.patch(one, openapi_extra=descriptions.CHANGE)(api.patch_run)
    commit = router.post(f"{one}/associate-commit", openapi_extra=descriptions.COMMIT)
    commit(api.associate_commit)
    router.get(f"{one}/commit-url")(api.commit_url)
    router.get(f"{one}/repo-url")(api.repo_url)
    router.get("/api/v1/metadata")(api.metadata)
    router.get("/metrics")(api.totals)
    router.get("/health")(api.health)
    for route in list(router.routes):
        if isinstance(route, APIRoute):
            router.add_api_route(
                f"{route.path}/",
                _without_slash,
                methods=list(route.methods or ()),
                include_in_schema=False,
            )
    return router


class _RunsApi:
    """The handlers of one collector."""

    def __init__(
        self, collector: Collector, follower: RunsFollower, settings: RunsApiSettings
    ) -> None:
        self._collector = collector
        self._follower = follower
        self._settings = settings
        self._guard = Guard(collector, settings)
        self._recorder = RunRecorder(collector, follower)
        self._queries = RunQueries(follower.store.file)
        follower.on_change = self._queries.forget

    async def post_run(self, request: Request) -> Response:
        """Record a run. One that is there already is a duplicate, and stays as it is."""
        caller = self._guard.writer(request)
        record = with_status(checked(_NEW_RUN, await self._content(request)))
        violation = violation_of(record)
        if violation is not None and self._settings.invalid_status == 422:
            raise invalid_record(record)
        if violation is not None:
            raise Problem(self._settings.invalid_status, f"Database integrity error: {violation}")
        [outcome] = await self._recorder.create(caller, [record])
        match outcome:
            case Refused(message, status):
                raise Problem(status, message)
            case Created():
                told = {"status": "created", "event_id": record.event_id, "run_id": record.run_id}
                return json_answer(201, told)
            case Duplicate():
                message = "Event already exists (idempotent)"
                told = {"status": "duplicate", "event_id": record.event_id, "message": message}
                return json_answer(self._settings.duplicate_status, told)

    async def post_batch(self, request: Request) -> Response:
        """Record many runs: an array of them, or an object with the array as `runs`.

        What the table would refuse is told by its event_id, and the others are kept; where one is
        no run at all, nothing is.
        """
        caller = self._guard.writer(request)
        content = await self._content(request)
        is_wrapped = isinstance(content, dict) and "runs" in content
        records = [
            with_status(each)
            for each in checked(_NEW_RUNS, content["runs"] if is_wrapped else content)
        ]
        refused = [(each, violation_of(each)) for each in records]
        errors = [f"{each.event_id}: {why}" for each, why in refused if why is not None]
        good = [each for each, why in refused if why is None]
        outcomes = await self._recorder.create(caller, good)
        told = list(zip(good, outcomes, strict=True))
        errors += [f"{each.event_id}: {o.message}" for each, o in told if isinstance(o, Refused)]
        duplicates = [each for each, outcome in told if isinstance(outcome, Duplicate)]
        await self._recorder.complete(caller, duplicates)
        inserted = sum(isinstance(outcome, Created) for outcome in outcomes)
        counts = {
            "inserted": inserted,
            "duplicates": len(duplicates),
            "errors": errors,
            "total": len(records),
        }
        if is_wrapped:
            return json_answer(201, {**counts, "created": inserted})
        return json_answer(200, counts)

    async def list_runs(
        self,
        request: Request,
        agent_name: str | None = None,
        status: str | None = None,
        job_type: str | None = None,
        created_before: str | None = None,
        created_after: str | None = None,
        start_time_from: str | None = None,
        start_time_to: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=(1 << 63) - 1)] = 0,
    ) -> Response:
        """List runs, those created last first. Times are compared as instants."""
        del agent_name, status, job_type
        del created_before, created_after, start_time_from, start_time_to
        project = self._guard.reader(request).project
        wanted = filter_of(request)
        await self._follower.ready()
        found = await asyncio.to_thread(self._queries.many, wanted, project, limit, offset)
        return json_answer(200, found)

    async def get_run(self, request: Request, event_id: EventId) -> Response:
        """Return one run by its event_id."""
        return json_answer(200, await self._row(self._guard.reader(request), event_id))

    async def patch_run(self, request: Request, event_id: EventId) -> Response:
        """Change a run. What is null stays; what is written last holds."""
        caller = self._guard.writer(request)
        changes = checked(_CHANGE, await self._content(request)).model_dump(exclude_none=True)
        if "status" in changes:
            changes["status"] = normalize_status(changes["status"])
            if changes["status"] not in CANONICAL_STATUSES:
                raise invalid_status(changes["status"])
        run = await self._known(caller, event_id)
        updated = [name for name in changes if name != "updated_at"]
        if not updated:
            raise Problem(400, "No valid fields to update")
        await self._changed(self._recorder.change(caller, run, changes))
        self._queries.forget()
        told = {"event_id": event_id, "updated": True, "fields_updated": updated}
        return json_answer(200, told)

    async def associate_commit(self, request: Request, event_id: EventId) -> Response:
        """Say which commit a run has made, in place of what was said before."""
        caller = self._guard.writer(request)
        commit = checked(_COMMIT, await self._content(request))
        run = await self._known(caller, event_id)
        await self._changed(self._recorder.commit(caller, run, commit))
        row = await self._row(caller, event_id)
        told = {"status": "success", "event_id": event_id, "run_id": row["run_id"]}
        return json_answer(200, {**told, "commit_hash": commit.commit_hash})

    async def commit_url(self, request: Request, event_id: EventId) -> Response:
        """Return the page of a run's commit, null where it has none."""
        row = await self._row(self._guard.writer(request), event_id)
        return json_answer(200, {"commit_url": row["commit_url"]})

    async def repo_url(self, request: Request, event_id: EventId) -> Response:
        """Return the page of a run's repository, null where it has none."""
        row = await self._row(self._guard.writer(request), event_id)
        return json_answer(200, {"repo_url": row["repo_url"]})

    async def metadata(self, request: Request) -> Response:
        """Return the names of all agents and jobs."""
        project = self._guard.reader(request).project
        await self._follower.ready()
        return json_answer(200, await asyncio.to_thread(self._queries.names, project))

    async def totals(self, request: Request) -> Response:
        """Return how many runs there are; to Prometheus, what the collector has counted."""
        if wants_prometheus(request):
            return prometheus_answer(self._collector)
        project = self._guard.uncounted_reader(request).project
        await self._follower.ready()
        totals = await asyncio.to_thread(self._queries.totals, project)
        performance = {"db_path": self._file, "journal_mode": _JOURNAL_MODE}
        return json_answer(200, {**totals, "performance": performance})

    async def health(self) -> Response:
        """Say that the service is there, in the words that its clients look for."""
        told = {"status": "ok", "version": _VERSION, "db_path": self._file}
        return json_answer(
            200, {**told, "journal_mode": _JOURNAL_MODE, "synchronous": _SYNCHRONOUS}
        )

    @property
    def _file(self) -> str:
        return str(self._follower.store.file.path)

    async def _content(self, request: Request) -> Any:
        return parsed_body(request, await self._collector.body(request))

    async def _known(self, caller: Caller, event_id: str) -> KnownRun:
        await self._follower.ready()
        run = await self._recorder.find(event_id, caller.project)
        if run is None:
            raise _not_found(event_id)
        if caller.host is not None and run.state.host not in (None, caller.host):
            message = f"key {caller.key_id} changes runs of {caller.host!r} only"
            raise Problem(403, f"host {run.state.host!r}: {message}")
        return run

    async def _row(self, caller: Caller, event_id: str) -> dict[str, Any]:
        await self._follower.ready()
        row = self._queries.one(event_id, caller.project)
        if row is None:  # another collector may have just written it
            await self._follower.caught_up()
            row = self._queries.one(event_id, caller.project)
        if row is None:
            raise _not_found(event_id)
        return row

    async def _changed(self, change: Any) -> None:
        try:
            await change
        except TooLarge as error:
            raise Problem(413, str(error)) from error


def _not_found(event_id: str) -> Problem:
    return Problem(404, f"Run not found: {event_id}")


async def _without_slash(request: Request) -> Response:
    return RedirectResponse(request.url.replace(path=request.url.path.rstrip("/")), 307)
