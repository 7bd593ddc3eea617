"""Keeping a library's log lines of one thread out of the agent's log."""

from __future__ import annotations

import logging
import threading


def quieten_this_thread(*libraries: str) -> None:
    """Drop what the loggers of `libraries` log from the calling thread, now and later.

    A broker that is away for days would otherwise fill the log of an agent that never asked for
    Kafka. What other threads log by the same loggers is left alone.
    """
    mine = threading.get_ident()

    def is_not_mine(record: logging.LogRecord) -> bool:
        return record.thread != mine

    known = list(logging.root.manager.loggerDict)
    for name in known:
        if name.split(".", 1)[0] in libraries:
            logging.getLogger(name).addFilter(is_not_mine)
