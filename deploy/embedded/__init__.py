"""The embedded stack: a real Apache Kafka from pip alone, run as a child process."""

from __future__ import annotations

from runfold.deploy.embedded.errors import EmbeddedError
from runfold.deploy.embedded.kafka import KafkaOptions, KafkaServer
from runfold.deploy.embedded.runtime import KafkaRuntime, prepare_runtime

__all__ = ["EmbeddedError", "KafkaOptions", "KafkaRuntime", "KafkaServer", "prepare_runtime"]
