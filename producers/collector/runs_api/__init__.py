"""The runs API of the Local Telemetry Platform: its requests become events, its answers a fold."""

from runfold.producers.collector.runs_api.follower import RunsFollower
from runfold.producers.collector.runs_api.routes import runs_api_routes
from runfold.producers.collector.runs_api.settings import RunsApiSettings
from runfold.producers.collector.runs_api.store import RunsStore

__all__ = ["RunsApiSettings", "RunsFollower", "RunsStore", "runs_api_routes"]
