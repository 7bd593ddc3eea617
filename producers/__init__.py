"""What puts events into the log: the client that agents import, its journal and its shipper."""

from runfold.producers.client import Client
from runfold.producers.recorder import ClientCounts
from runfold.producers.run import Run

__all__ = ["Client", "ClientCounts", "Run"]
