"""Puts the runs API together: its file, the workers' fold, and the replaced service's variables."""

from __future__ import annotations

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runfold.deploy.settings import Settings
from runfold.processors.fold import fold
from runfold.processors.topic_watch import describe_topic
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.runs_api import RunsApiSettings, RunsFollower, RunsStore
from runfold.producers.collector.runs_api.file import RunsFile
from runfold.schemas.codec.confluent import event_framing
from runfold.schemas.errors import ConfigurationError
from runfold.schemas.lake import LogDescription

_PREFIX = "TELEMETRY_"


class TelemetryVariables(BaseSettings):
    """What the replaced service was told by its environment, as far as it still matters."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    api_auth_enabled: bool = Field(default=False, description="Whether writing needs the token.")
    api_auth_token: SecretStr | None = Field(default=None, description="The token.")
    rate_limit_enabled: bool = Field(default=False, description="Whether requests are limited.")
    rate_limit_rpm: int = Field(default=60, gt=0, description="Requests a minute of one address.")


def runs_api_settings(settings: Settings) -> RunsApiSettings:
    """Return how the runs API answers. Raises: ConfigurationError naming the variable."""
    try:
        told = TelemetryVariables()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{_PREFIX}{'.'.join(map(str, first['loc'])).upper()}"
        raise ConfigurationError(f"{name}: {first['msg']}") from error
    token = told.api_auth_token.get_secret_value() if told.api_auth_token else ""
    if told.api_auth_enabled and not token:
        raise ConfigurationError(
            f"{_PREFIX}API_AUTH_ENABLED is set, and {_PREFIX}API_AUTH_TOKEN is not"
        )
    return RunsApiSettings(
        duplicate_status=int(settings.runs_api_duplicate_status),
        invalid_status=int(settings.runs_api_invalid_status),
        token=token if told.api_auth_enabled else None,
        requests_a_minute=told.rate_limit_rpm if told.rate_limit_enabled else None,
    )


def runs_follower(settings: Settings, collector: Collector, how: RunsApiSettings) -> RunsFollower:
    """Return what keeps the read model level with the log. Raises: ConfigurationError."""

    async def describe() -> LogDescription:
        await collector.log.connect()  # makes the topic where it is missing
        return await describe_topic(settings.bootstrap, settings.topic)

    return RunsFollower(
        settings.bootstrap,
        RunsStore(RunsFile(settings.home / "collector" / "runs.sqlite"), fold),
        describe,
        framing=event_framing(settings.schema_registry),
        patience=how.patience,
    )
