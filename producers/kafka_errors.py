"""aiokafka's exceptions, mapped to what a caller can react to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runfold.schemas.errors import BrokerUnavailable


@contextmanager
def broker_errors(bootstrap: str) -> Iterator[None]:
    """Raise BrokerUnavailable (retry) for whatever aiokafka raises inside, with its words.

    Also refusals, a missing permission say, are to be retried: an operator mends them while the
    events wait. aiokafka asserts that a partition exists, which fails where a topic was made anew.
    """
    from aiokafka.errors import KafkaError

    try:
        yield
    except (KafkaError, OSError, TimeoutError, AssertionError) as error:
        raise unavailable(bootstrap, error) from error


def unavailable(bootstrap: str, error: BaseException) -> BrokerUnavailable:
    """Return `error` as a BrokerUnavailable that names the address."""
    words = str(error)
    name = type(error).__name__
    if "Unable to bootstrap" in words:  # and what follows is the address once more
        words = name = "no answer"
    return BrokerUnavailable(
        f"Kafka at {bootstrap}: {words if name in words else name + ': ' + words}"
    )
