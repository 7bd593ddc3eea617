"""What puts events into the log: the client that agents import, its journal and its shipper."""

from runfold.producers.client import Client
from runfold.producers.consent import save_consent
from runfold.producers.context import in_this_run
from runfold.producers.privacy import Privacy
from runfold.producers.process_client import default_client, observe
from runfold.producers.recorder import ClientCounts
from runfold.producers.run import Run
from runfold.producers.spans import Span

__all__ = [
    "Client",
    "ClientCounts",
    "Privacy",
    "Run",
    "Span",
    "default_client",
    "in_this_run",
    "observe",
    "save_consent",
]
