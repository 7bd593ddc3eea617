"""Python's `logging`, recorded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runfold.producers import Client
from runfold.producers.hooks.logs import RunLogHandler
from tests.recording import Recording

LOGGER = logging.Logger("tests.agent", logging.DEBUG)
"""One that pytest's own handler, which raises what a message raises, does not hear."""


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "journal")
    yield one
    one.client.close()


@pytest.fixture
def logger(recording: Recording) -> Iterator[logging.Logger]:
    """Give a logger whose records go to the run that they are logged in."""
    handler = RunLogHandler(recording.client)
    LOGGER.addHandler(handler)
    yield LOGGER
    LOGGER.removeHandler(handler)


def test_what_is_logged_in_a_run_is_an_event_of_it(
    recording: Recording, logger: logging.Logger
) -> None:
    with recording.client.run() as run:
        logger.warning("disk at %d %%", 91, extra={"mount": "/data"})
    (event,) = recording.events("log.written")
    assert (event["run_id"], event["name"]) == (run.run_id, "warning")
    location = event["attributes"].pop("location")
    assert location.startswith("test_hooks_logs.test_what_is_logged_in_a_run_is_an_event_of_it:")
    assert event["attributes"] == {
        "message": "disk at 91 %",
        "logger": "tests.agent",
        "severity_number": 13,
        "mount": "/data",
    }


def test_a_logged_exception_is_an_error_of_the_run_where_it_is_logged_as_one(
    recording: Recording, logger: logging.Logger
) -> None:
    with recording.client.run():
        try:
            raise ValueError("no such page")
        except ValueError:
            logger.exception("gave up")
            logger.info("tried again", exc_info=True)
    (error,) = recording.events("error.raised")
    assert (error["error_type"], error["error_message"]) == ("ValueError", "no such page")
    for event in recording.events("log.written"):
        assert event["attributes"]["exception.type"] == "ValueError"
        assert "raise ValueError" in event["attributes"]["exception.stacktrace"]


def test_what_is_logged_outside_of_a_run_belongs_to_the_run_named_for_it(
    recording: Recording, logger: logging.Logger
) -> None:
    logger.info("to no run")
    handler = RunLogHandler(recording.client, logging.INFO, run_id="service")
    logger.addHandler(handler)
    logger.info("to the service")
    logger.debug("too low")
    logger.removeHandler(handler)
    (event,) = recording.events("log.written")
    assert (event["run_id"], event["attributes"]["message"]) == ("service", "to the service")


class Hostile:
    """Raises wherever it is looked at, and logs before it does."""

    def __str__(self) -> str:
        LOGGER.info("from within")
        raise RuntimeError("not today")

    __repr__ = __str__


def test_nothing_raises_and_what_logs_while_it_is_recorded_makes_no_loop(
    recording: Recording, logger: logging.Logger
) -> None:
    with recording.client.run():
        logger.info("one: %s", Hostile())
        logger.info("two: %d", "no number")
        logger.info(Hostile())
        logger.info("three", extra={"hostile": Hostile()})
    events = recording.events("log.written")
    assert len(events) == 4
    assert events[1]["attributes"]["message"] == ["two: %d", ["no number"]]


def test_what_the_shipper_logs_is_not_shipped(recording: Recording) -> None:
    handler = RunLogHandler(recording.client, run_id="service")
    opened = recording.log.open

    def open_and_log() -> Any:
        logging.getLogger("tests.broker").warning("connecting")
        return opened()

    client = Client(journal_dir=recording.root, publisher=open_and_log)
    logging.getLogger("tests.broker").addHandler(handler)
    client.event("run", "custom")
    assert client.flush(20)
    logging.getLogger("tests.broker").removeHandler(handler)
    client.close()
    assert recording.types() == ["custom"]
