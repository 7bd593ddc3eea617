"""`python -m tests.s3_server`: moto's S3 over HTTP, which can be told to fail.

It prints its URL. `PUT /-/faults` with a JSON body says what every request gets from then on:
`{"status": 503}` that answer, `{"cut": true}` the end of the connection in the middle of a PUT,
`{}` what it asks for; with `"requests": N` only the next N, with `"method"` only those.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Environment = dict[str, Any]
StartResponse = Callable[..., Any]


class Faulty:
    """A WSGI application in front of another one."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._fault: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, environment: Environment, start: StartResponse) -> Iterable[bytes]:
        """Answer, or fail as told."""
        if environment["PATH_INFO"] == "/-/faults":
            body = environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"]))
            self._fault = json.loads(body)
            start("200 OK", [])
            return [b""]
        fault = self._next(environment["REQUEST_METHOD"])
        if fault.get("cut"):
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0) // 2)
            environment["werkzeug.socket"].shutdown(2)
            raise ConnectionResetError
        if "status" in fault:
            start(f"{fault['status']} Faulty", [("Content-Type", "text/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>told to</Message></Error>"]
        return self._application(environment, start)

    def _next(self, method: str) -> dict[str, Any]:
        with self._lock:
            fault = self._fault
            if not fault or fault.get("method", method) != method:
                return {}
            if "requests" in fault:
                fault["requests"] -= 1
                if fault["requests"] < 0:
                    return {}
            return fault


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *arguments: Any) -> None:
        del type, message, arguments


def main() -> None:
    """Serve until killed."""
    application = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
