"""The API of Agent Framework Telemetry's collector, for its clients as they are."""

from runfold.producers.collector.agent_framework.routes import agent_framework_routes
from runfold.producers.collector.agent_framework.startup_key import StartupKey

__all__ = ["StartupKey", "agent_framework_routes"]
