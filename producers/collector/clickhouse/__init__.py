"""The HTTP interface of ClickHouse, as far as telemetry clients write to it."""

from runfold.producers.collector.clickhouse.routes import clickhouse_routes

__all__ = ["clickhouse_routes"]
