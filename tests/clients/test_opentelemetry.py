"""OpenTelemetry's own SDKs and instrumentations, unmodified, against the collector."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from runfold.deploy.embedded import KafkaServer
from runfold.producers.hooks.opentelemetry import RunfoldSpanProcessor
from runfold.schemas.event import Event
from tests.clients.node import needs_node, node_folder, run_node
from tests.collector_process import CollectorProcess
from tests.otlp_requests import AGENT, CHAT, TOOL
from tests.recording import Recording

_STABLE, _EXPERIMENTAL = "2.12.0", "0.223.0"
_SIGNALS = ("trace", "metrics", "logs")
_KINDS = ("http", "proto", "grpc")
_PACKAGES = {
    "@opentelemetry/api": "1.9.0",
    "@opentelemetry/api-logs": _EXPERIMENTAL,
    "@opentelemetry/resources": _STABLE,
    "@opentelemetry/sdk-logs": _EXPERIMENTAL,
    "@opentelemetry/sdk-metrics": _STABLE,
    "@opentelemetry/sdk-trace-node": _STABLE,
    **{
        f"@opentelemetry/exporter-{signal}-otlp-{kind}": _EXPERIMENTAL
        for signal in _SIGNALS
        for kind in _KINDS
    },
}


@pytest.fixture(scope="module")
def collector(
    kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    with CollectorProcess(
        kafka.bootstrap, "test-otel-clients", tmp_path_factory.mktemp("collector")
    ) as serving:
        yield serving


def events_of(collector: CollectorProcess, service: str) -> list[Event]:
    """Return the events of a service, in the order in which they happened."""
    found = [each for each in asyncio.run(collector.events()) if each.project == service]
    return sorted(found, key=lambda each: each.occurred_at)


def types_of(events: list[Event]) -> set[str]:
    return {each.event_type for each in events}


def http_exporters(collector: CollectorProcess) -> tuple[Any, Any, Any]:
    how: dict[str, Any] = {"compression": Compression.Gzip, "timeout": 30}
    return (
        http_traces.OTLPSpanExporter(f"{collector.url}/v1/traces", **how),
        http_metrics.OTLPMetricExporter(f"{collector.url}/v1/metrics", **how),
        http_logs.OTLPLogExporter(f"{collector.url}/v1/logs", **how),
    )


def grpc_exporters(collector: CollectorProcess) -> tuple[Any, Any, Any]:
    how: dict[str, Any] = {"endpoint": collector.grpc, "insecure": True, "timeout": 30}
    return (
        grpc_traces.OTLPSpanExporter(**how),
        grpc_metrics.OTLPMetricExporter(**how),
        grpc_logs.OTLPLogExporter(**how),
    )


def tracing_to(collector: CollectorProcess, service: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(http_exporters(collector)[0]))
    return provider


@pytest.mark.parametrize("exporters", [http_exporters, grpc_exporters])
def test_pythons_sdk_and_exporters(collector: CollectorProcess, exporters: Any) -> None:
    service = exporters.__name__
    resource = Resource({"service.name": service})
    of_spans, of_metrics, of_logs = exporters(collector)
    tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracing.add_span_processor(BatchSpanProcessor(of_spans))
    tracer = tracing.get_tracer("tests")
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT):
        with tracer.start_as_current_span("chat gpt-5", attributes=CHAT):
            pass
        with tracer.start_as_current_span("execute_tool", attributes=TOOL):
            pass
    metering = MeterProvider(
        [PeriodicExportingMetricReader(of_metrics)], resource, shutdown_on_exit=False
    )
    metering.get_meter("tests").create_counter("requests").add(3)
    logged = LoggerProvider(resource, shutdown_on_exit=False)
    logged.add_log_record_processor(BatchLogRecordProcessor(of_logs))
    logged.get_logger("tests").emit(severity_number=SeverityNumber.WARN, body="careful")
    for provider in (tracing, metering, logged):
        provider.shutdown()
    events = events_of(collector, service)
    assert types_of(events) == {
        "run.started", "llm.called", "tool.started", "tool.ended", "run.ended",
        "metric.recorded", "log.written",
    }  # fmt: skip
    assert sum(each.input_tokens or 0 for each in events) == 12
    assert [each.value for each in events if each.event_type == "metric.recorded"] == [3.0]
    assert len([each for each in events if each.event_type == "run.ended"]) == 1


def test_the_processor_of_this_process_and_the_wire_name_the_same_runs(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    recording = Recording(tmp_path / "journal")
    provider = tracing_to(collector, "both")
    provider.add_span_processor(RunfoldSpanProcessor(recording.client))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("outer", attributes=AGENT):
        with tracer.start_as_current_span("chat", attributes=CHAT):
            pass
        with tracer.start_as_current_span("inner", attributes=AGENT):
            with tracer.start_as_current_span("execute_tool", attributes=TOOL):
                pass
    provider.shutdown()
    wanted = ("event_type", "run_id", "parent_run_id", "span_id", "status", "tool_name", "model")
    here = {tuple(each.get(name) for name in wanted) for each in recording.events()}
    recording.client.close()
    there = {tuple(getattr(each, name) for name in wanted) for each in events_of(collector, "both")}
    assert there == here


def test_langchain_by_openinference(collector: CollectorProcess) -> None:
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from openinference.instrumentation.langchain import LangChainInstrumentor

    provider = tracing_to(collector, "langchain")
    answer = AIMessage(
        "done",
        usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        response_metadata={"model_name": "gpt-5"},
    )
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        chain = GenericFakeChatModel(messages=iter([answer])) | (lambda said: said.content)
        assert chain.invoke("a secret question") == "done"
    finally:
        instrumentor.uninstrument()
    provider.shutdown()
    events = events_of(collector, "langchain")
    (called,) = (each for each in events if each.event_type == "llm.called")
    assert (called.input_tokens, called.output_tokens) == (10, 5)
    assert len({each.run_id for each in events}) == 1
    assert not any("secret" in (each.attributes or "") for each in events)


def test_openai_agents_by_openinference(collector: CollectorProcess) -> None:
    from agents import Agent, Runner, set_trace_processors
    from agents.items import ModelResponse
    from agents.models.interface import Model
    from agents.tracing import generation_span
    from agents.usage import Usage
    from openai.types.responses import ResponseOutputMessage, ResponseOutputText
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    class Fake(Model):
        async def get_response(self, *given: Any, **named: Any) -> ModelResponse:
            del given, named
            spent = {"input_tokens": 9, "output_tokens": 4}
            with generation_span(model="gpt-5", usage=spent):
                text = ResponseOutputText(text="done", type="output_text", annotations=[])
                message = ResponseOutputMessage(
                    id="m", role="assistant", status="completed", type="message", content=[text]
                )
            return ModelResponse(output=[message], usage=Usage(), response_id=None)

        def stream_response(self, *given: Any, **named: Any) -> Any:
            raise NotImplementedError

    provider = tracing_to(collector, "agents")
    instrumentor = OpenAIAgentsInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        result = asyncio.run(Runner.run(Agent(name="helper", model=Fake()), "hello"))
        assert result.final_output == "done"
    finally:
        instrumentor.uninstrument()
        set_trace_processors([])
    provider.shutdown()
    events = events_of(collector, "agents")
    (called,) = (each for each in events if each.event_type == "llm.called")
    assert (called.model, called.input_tokens, called.output_tokens) == ("gpt-5", 9, 4)
    started = {each.agent_name for each in events if each.event_type == "run.started"}
    assert "helper" in started


@needs_node
@pytest.mark.parametrize("kind", _KINDS)
def test_javascripts_exporters(collector: CollectorProcess, kind: str) -> None:
    folder = node_folder("opentelemetry", _PACKAGES)
    address = f"http://{collector.grpc}" if kind == "grpc" else collector.url
    run_node(folder, Path(__file__).with_name("opentelemetry.mjs"), kind, address)
    events = events_of(collector, f"js-{kind}")
    assert types_of(events) == {
        "run.started", "llm.called", "error.raised", "run.ended", "metric.recorded", "log.written",
    }  # fmt: skip
    (called,) = (each for each in events if each.event_type == "llm.called")
    assert (called.input_tokens, called.status, called.error_type) == (12, "failure", "RangeError")
    assert [each.value for each in events if each.event_type == "metric.recorded"] == [3.0]
