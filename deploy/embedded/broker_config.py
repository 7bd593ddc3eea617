"""The configuration files of the embedded broker: one small KRaft node on the loopback interface.

Paths in the files are relative to the data directory, where the broker runs: a path with a comma
or a backslash would mean something else to Kafka.
"""

from __future__ import annotations

from collections.abc import Mapping

from runfold.deploy.embedded.data_dir import DataDir, Ports
from runfold.deploy.embedded.ports import LOOPBACK

_MESSAGE_MAX_BYTES = 16 * 1024 * 1024
_TEN_YEARS_MINUTES = 10 * 365 * 24 * 60

_FIXED: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "log.dirs": "data",
    # What was recorded is kept until someone says otherwise, and so is where readers stand.
    "log.retention.hours": "-1",
    "log.retention.bytes": "-1",
    "offsets.retention.minutes": str(_TEN_YEARS_MINUTES),
    # A topic that is created by a spelling mistake hides the mistake.
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(_MESSAGE_MAX_BYTES),
    "replica.fetch.max.bytes": str(_MESSAGE_MAX_BYTES),
    # There is one node, and there are few groups.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # A worker that starts alone need not wait for others, and may be missed quickly.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A broker that was killed is refused until its last registration has expired (default 9 s).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Threads and buffers of a machine that does other work; the cleaner alone takes 128 MiB.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "log.cleaner.io.buffer.size": str(128 * 1024),
    "log.segment.bytes": str(256 * 1024 * 1024),
}

_LOG4J2 = """\
status = error
monitorInterval = 0
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = logs/server.log
appender.file.filePattern = logs/server.%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5p %c{1} - %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
# These print every setting at every start.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
logger.jmx.name = kafka.utils.Log4jControllerRegistration$
logger.jmx.level = warn
"""


def write_config(data_dir: DataDir, ports: Ports, extra: Mapping[str, str]) -> None:
    """Write `server.properties` and `log4j2.properties`; `extra` overrides what is set here.

    Errors: OSError when they cannot be written.
    """
    properties = {**_FIXED, **_addresses(ports), **extra}
    lines = [f"{name}={value}" for name, value in properties.items()]
    (data_dir.config / "server.properties").write_text("\n".join(lines) + "\n", "utf-8")
    (data_dir.config / "log4j2.properties").write_text(_LOG4J2, "utf-8")


def _addresses(ports: Ports) -> dict[str, str]:
    client = f"PLAINTEXT://{LOOPBACK}:{ports.client}"
    controller = f"{LOOPBACK}:{ports.controller}"
    return {
        "listeners": f"{client},CONTROLLER://{controller}",
        "advertised.listeners": client,
        "controller.quorum.voters": f"1@{controller}",
    }
