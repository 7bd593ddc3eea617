"""The client that module-level calls record with, made when it is first needed."""

from __future__ import annotations

from functools import lru_cache

from runfold.producers.client import Client
from runfold.producers.observe import Observer


@lru_cache(maxsize=1)
def default_client() -> Client:
    """Return the process's own client, configured by the environment alone."""
    return Client()


observe = Observer(default_client)
"""`Client.observe` for the default client."""
