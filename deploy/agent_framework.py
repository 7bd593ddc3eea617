"""The Agent Framework's API with what its own collector's environment says."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from runfold.deploy.settings import Settings
from runfold.producers.collector.access import OpenAccess
from runfold.producers.collector.agent_framework import StartupKey, agent_framework_routes
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.documents import Documents
from runfold.sinks.objects import LakeObjects

_PORT = ":3001"
_KEYS_OF_OPENROUTER = "sk-or-"


class AgentFrameworkEnvironment(BaseSettings):
    """The variables that an Agent Framework collector is set up with; all may be missing.

    Shape: `agent_framework_api_key` is a key that may send, `telemetry_host_id` the one host whose
    events it may send. `port` counts only where there is a key: many programs know a PORT.
    `openrouter_api_key` is a key by which costs are asked for.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    agent_framework_api_key: SecretStr | None = None
    telemetry_host_id: str | None = None
    port: str | None = None
    openrouter_api_key: SecretStr | None = None
    anthropic_auth_token: SecretStr | None = None
    openrouter_base_url: str = "https://openrouter.ai/api/v1"

    @property
    def key_for_openrouter(self) -> str | None:
        """The key by which costs are asked for.

        Shape: a token for Anthropic, which the original would send too, only where it is a key of
        OpenRouter's: another is none of their business.
        """
        if self.openrouter_api_key is not None:
            return self.openrouter_api_key.get_secret_value()
        token = self.anthropic_auth_token
        is_theirs = token is not None and token.get_secret_value().startswith(_KEYS_OF_OPENROUTER)
        return token.get_secret_value() if token is not None and is_theirs else None


def listening_at(settings: Settings) -> list[str]:
    """Return where to listen, with PORT in place of the Agent Framework's usual one."""
    environment = AgentFrameworkEnvironment()
    asked = "collector_listen" in settings.model_fields_set
    if asked or environment.agent_framework_api_key is None or environment.port is None:
        return settings.collector_listen
    return [each.replace(_PORT, f":{environment.port}") for each in settings.collector_listen]


def agent_framework_router(settings: Settings, collector: Collector) -> APIRouter:
    """Return the routes; the environment's key opens them beside the keys of the collector."""
    environment = AgentFrameworkEnvironment()
    if environment.agent_framework_api_key is not None:
        key = StartupKey(
            environment.agent_framework_api_key.get_secret_value(),
            host=environment.telemetry_host_id,
            others=None if isinstance(collector.access, OpenAccess) else collector.access,
        )
        collector = replace(collector, access=key)
    documents = Documents(LakeObjects(settings.lake_dir))
    return agent_framework_routes(collector, documents, strict=settings.agent_framework_strict)
