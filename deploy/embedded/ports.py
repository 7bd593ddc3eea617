"""Chooses TCP ports on the loopback interface."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Return whether a server may listen on this loopback port now."""
    with socket.socket() as listener:
        # As Java does: a port whose last connections are just closing is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(1)
        except OSError:
            return False
    return not _is_answered(port)


def _is_answered(port: int) -> bool:
    """Return whether someone listens, for systems that let two bind to one port."""
    with socket.socket() as client:
        client.settimeout(0.5)
        return client.connect_ex((LOOPBACK, port)) == 0


def choose_port(*wanted: int, avoid: frozenset[int] = frozenset()) -> int:
    """Return the first wanted port that is free and not in `avoid`, or else any free one.

    0 stands for no wish. Another process may take the port before it is used.
    """
    for port in wanted:
        if port and port not in avoid and is_free(port):
            return port
    while True:
        with socket.socket() as listener:
            listener.bind((LOOPBACK, 0))
            port = int(listener.getsockname()[1])
        if port not in avoid:
            return port
