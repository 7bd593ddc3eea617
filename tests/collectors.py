"""A collector for tests: a real HTTP server that decodes what is posted and keeps it in memory."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from runfold.producers.shipping import parse_line
from runfold.schemas.codec.encoder import SparseEncoder
from runfold.schemas.codec.registry import latest
from runfold.schemas.errors import EventRejected

Lines = list[bytes]
Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Collector:
    """What was posted: `requests` are the numbers of lines, `events` what was accepted.

    While `replies` has one, a request is answered with it, and nothing is accepted.
    """

    url: str
    replies: list[Reply] = field(default_factory=list)
    refuse: Callable[[Lines], Reply | None] = lambda _: None
    requests: list[int] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    chunked: bool = False

    def answer(self, path: str, body: bytes) -> Reply:
        """Take in one request."""
        lines = gzip.decompress(body).splitlines()
        self.requests.append(len(lines))
        if path != "/prefix/api/v1/events":
            return 404, {}, b"nothing here"
        if self.replies:
            return self.replies.pop(0)
        refused = self.refuse(lines)
        return refused if refused is not None else (200, {}, self._accept(lines))

    def _accept(self, lines: Lines) -> bytes:
        encode = SparseEncoder(latest("event"))
        rejected = []
        for index, line in enumerate(lines):
            try:
                event = parse_line(line)
                encode(event)
            except EventRejected as error:
                rejected.append({"index": index, "reason": error.reason, "message": error.message})
            else:
                self.events.append(event)
        return orjson.dumps({"accepted": len(lines) - len(rejected), "rejected": rejected})


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serve a collector on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.headers.append(dict(self.headers))
            status, headers, content = collector.answer(self.path, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if collector.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                middle = len(content) // 2
                for part in (content[:middle], content[middle:]):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if part else b"")
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            del format, arguments

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        collector = Collector(f"http://127.0.0.1:{listening.server_port}/prefix")
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield collector
        finally:
            listening.shutdown()
            thread.join()
