"""A real HTTP server for tests of what posts: it answers what it was told to, and remembers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request. Shape: `content` is what its JSON body said."""

    method: str
    path: str
    headers: dict[str, str]
    content: Any


@dataclass
class WebServer:
    """What was asked, and the answers still to be given: a status and a JSON body each.

    The last answer is given again and again.
    """

    url: str
    answers: list[tuple[int, Any]]
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def web_server(*answers: tuple[int, Any]) -> Iterator[WebServer]:
    """Serve `answers` on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.asked.append(
                Asked(
                    self.command,
                    self.path,
                    dict(self.headers),
                    json.loads(body) if body else None,
                )
            )
            status, said = server.answers[0]
            if len(server.answers) > 1:
                server.answers.pop(0)
            content = json.dumps(said).encode()
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815  names of the standard library

        def log_message(self, format: str, *arguments: Any) -> None:
            del format, arguments

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = WebServer(f"http://127.0.0.1:{listening.server_port}", list(answers))
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
