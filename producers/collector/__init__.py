"""The collector: takes telemetry over HTTP and gRPC, answers when Kafka has acknowledged it."""
