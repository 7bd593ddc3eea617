"""The settings of one process: built from the environment at the entry point and nowhere else."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runfold.producers.client_settings import DEFAULT_BROKER, STACK_FILE
from runfold.schemas.errors import ConfigurationError
from runfold.sinks.object_path import LakePath, lake_path

PREFIX = "RUNFOLD_"
POSTGRES_FOLDER = "postgres"
"""Of the stack's own PostgreSQL, below the data directory."""
CLIENT_VARIABLES = frozenset(
    f"RUNFOLD_{name}"
    for name in (
        "CONTENT",
        "DEBUG",
        "ENABLED",
        "ENDPOINT",
        "JOURNAL",
        "PARENT_RUN",
        "VERBOSE",
    )
)
"""Read by the client library, which takes no settings object."""


class Settings(BaseSettings):
    """Where things are and how often the worker writes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(
        default=Path("~/.runfold"), description="Folder of all that runfold keeps on this machine."
    )
    broker: str | None = Field(
        default=None,
        description="HOST:PORT of Kafka; default the running stack's, else 127.0.0.1:9092.",
    )
    lake: str | None = Field(
        default=None,
        description="Folder of the lake, or s3://BUCKET/PREFIX; default DATA_DIR/lake.",
    )
    postgres: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="URL of the PostgreSQL to export to; default the running stack's.",
    )
    topic: str = Field(default="runfold.events", description="Topic that holds the events.")
    group: str = Field(default="runfold", description="Consumer group of the workers.")
    schema_registry: str | None = Field(
        default=None,
        description="URL of a schema registry, where records are framed with its ids.",
    )
    flush_interval_seconds: float = Field(
        default=2.0, gt=0, description="Seconds between two writes of a worker to the lake."
    )
    stall_window_seconds: float = Field(
        default=30.0,
        gt=0,
        description="Seconds that a partition with records to go may stand before its worker is "
        "not ready; three flush intervals where that is longer.",
    )
    worker_listen: str | None = Field(
        default=None,
        description="HOST:PORT where a worker serves /healthz, /readyz and /metrics; port 0 is a "
        "free one; default nowhere, and under `runfold up` a free one of this machine.",
    )
    collector_listen: Annotated[list[str], NoDecode] = Field(
        default=["127.0.0.1:8765", "127.0.0.1:4318", "127.0.0.1:3001", "127.0.0.1:8123"],
        description="HOST:PORTs where the collector serves, with commas between them; each serves "
        "every HTTP API.",
    )
    collector_grpc_listen: str = Field(
        default="127.0.0.1:4317",
        description="HOST:PORT where the collector takes OTLP over gRPC; empty is nowhere.",
    )
    collector_content: bool = Field(
        default=False,
        description="Whether prompts, answers, documents and what tools are given and return are "
        "recorded of OpenTelemetry's spans and logs.",
    )
    collector_health_listen: str = Field(
        default="127.0.0.1:13133",
        description="HOST:PORT where the collector answers `GET /` as the health check of the "
        "OpenTelemetry Collector does, always without TLS; empty is nowhere.",
    )
    collector_require_keys: bool = Field(
        default=False,
        description="Whether the collector lets in nobody without a key of `runfold keys`; always "
        "where it serves at an address that other machines reach.",
    )
    collector_when_kafka_is_down: Literal["refuse", "journal"] = Field(
        default="refuse",
        description="What the collector does while Kafka is down: tells clients to come back, or "
        "keeps what they send in a journal below DATA_DIR, to be shipped later.",
    )
    collector_tls_cert: Path | None = Field(
        default=None,
        description="PEM file of the certificate that the collector shows, with chain.",
    )
    collector_tls_key: Path | None = Field(
        default=None, description="PEM file of that certificate's private key."
    )
    runs_api_duplicate_status: Literal["201", "200"] = Field(
        default="201",
        description="HTTP status that answers a run which the runs API has already.",
    )
    runs_api_invalid_status: Literal["400", "422"] = Field(
        default="400",
        description="HTTP status with which the runs API refuses negative counts and statuses that "
        "nobody knows.",
    )
    agent_framework_strict: bool = Field(
        default=False,
        description="Take batches of the Agent Framework's API as its own collector did: all of "
        "it, by its last rules, or nothing.",
    )
    dead_letter_cap: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of a worker's last 10,000 records that may be dead letters before it "
        "halts; 1 never halts.",
    )

    @field_validator("collector_listen", mode="before")
    @classmethod
    def _without_commas(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        return [each.strip() for each in given.split(",") if each.strip()]

    @property
    def home(self) -> Path:
        """`data_dir` with `~` resolved."""
        return self.data_dir.expanduser().absolute()

    @property
    def lake_dir(self) -> LakePath:
        """Where the lake lies. Raises: ConfigurationError."""
        return lake_path(self.lake) if self.lake else self.home / "lake"

    @property
    def bootstrap(self) -> str:
        """HOST:PORT of the Kafka to talk to."""
        return self.broker or running_stack(self.home).get("broker") or DEFAULT_BROKER

    @property
    def postgres_url(self) -> str | None:
        """The PostgreSQL to export to, None where none was given and the stack has none."""
        if self.postgres is not None:
            return self.postgres
        try:
            return (self.home / POSTGRES_FOLDER / "url").read_text("utf-8").strip()
        except FileNotFoundError:
            return None

    @property
    def collector_journal_dir(self) -> Path:
        """Where the collector keeps events while Kafka is down."""
        return self.home / "collector" / "journal"

    @property
    def flush_interval(self) -> timedelta:
        """The time between two writes of a worker to the lake."""
        return timedelta(seconds=self.flush_interval_seconds)


def load_settings(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Build the settings; `given` are command line options, None where absent, which win.

    Raises: ConfigurationError naming the variable or option, and for an unknown `RUNFOLD_*`
    variable the nearest known one.
    """
    environment = os.environ if environment is None else environment
    known = {PREFIX + name.upper() for name in Settings.model_fields} | CLIENT_VARIABLES
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
            )
            raise ConfigurationError(f"unknown environment variable {name}{hint}")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{field} (or {PREFIX}{field.upper()}): {first['msg']}") from error


def running_stack(home: Path) -> dict[str, Any]:
    """Return what the stack that runs over `home` wrote of itself, empty where none runs."""
    try:
        described = json.loads((home / STACK_FILE).read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return described if isinstance(described, dict) else {}
