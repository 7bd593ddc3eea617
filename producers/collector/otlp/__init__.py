"""OTLP, by HTTP and gRPC: what OpenTelemetry's exporters and their kin send, as runs and events."""
