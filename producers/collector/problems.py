"""What keeps a request from being taken, before any family of clients words its answer.

Each API that the collector serves has its own form of an error; `answering` gives its routes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from runfold.schemas.errors import BrokerUnavailable, CollectorBusy


@dataclass(eq=False)  # not frozen: contextlib sets the traceback of what passes through a block
class Problem(Exception):
    """Why a request is answered with an error.

    Shape: `status` is HTTP's; `message` says what is wrong and where, for people; `headers` are
    sent along. Units: `retry_after` from now on, None where trying again is no use.
    """

    status: int
    message: str
    retry_after: timedelta | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def all_headers(self) -> dict[str, str]:
        """Return the headers, with Retry-After in whole seconds where there is one."""
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, ceil(self.retry_after.total_seconds())))
        return headers


Render = Callable[[Problem], Response]
"""Words a problem in the form that one family of clients reads."""
RenderInvalid = Callable[[RequestValidationError], Response]
"""Words what pydantic found wrong with a body."""

TRY_AGAIN_AFTER = timedelta(seconds=1)


def busy(error: BrokerUnavailable) -> Problem:
    """Return the problem of a log that takes nothing now: 503, to be tried again."""
    after = error.retry_after if isinstance(error, CollectorBusy) else TRY_AGAIN_AFTER
    return Problem(503, str(error), after)


def answering(render: Render, render_invalid: RenderInvalid | None = None) -> type[APIRoute]:
    """Return the class of routes whose problems are answered in the form of `render`."""

    class AnsweringRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            # FastAPI would look for parameters that a handler of the request alone does not have.
            takes_request_alone = list(inspect.signature(self.endpoint).parameters) == ["request"]
            handle = self.endpoint if takes_request_alone else super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    response: Response = await handle(request)
                except Problem as problem:
                    return render(problem)
                except BrokerUnavailable as error:
                    structlog.get_logger(__name__).warning("log unavailable", error=str(error))
                    return render(busy(error))
                except RequestValidationError as error:
                    if render_invalid is None:
                        raise
                    return render_invalid(error)
                return response

            return answer

    return AnsweringRoute
