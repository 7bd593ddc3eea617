// Sends a trace, a counter and a log record by OpenTelemetry's exporters for JavaScript:
// node opentelemetry.mjs http|proto|grpc ADDRESS
import { SpanStatusCode, context, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [kind, address] = process.argv.slice(2);
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${kind}`);
const { OTLPMetricExporter } = await import(`@opentelemetry/exporter-metrics-otlp-${kind}`);
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${kind}`);
const url = (signal) => (kind === "grpc" ? address : `${address}/v1/${signal}`);
const exporter = (Exporter, signal) => new Exporter({ url: url(signal), compression: "gzip" });
const resource = resourceFromAttributes({ "service.name": `js-${kind}` });

const tracing = new NodeTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(exporter(OTLPTraceExporter, "traces"))],
});
const tracer = tracing.getTracer("tests");
const agent = tracer.startSpan("invoke_agent planner", {
  attributes: { "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner" },
});
const inside = trace.setSpan(context.active(), agent);
const chat = tracer.startSpan("chat gpt-5", {
  attributes: {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5",
    "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 5,
  },
}, inside);
chat.recordException(new RangeError("too long"));
chat.setStatus({ code: SpanStatusCode.ERROR });
chat.end();
agent.end();

const metrics = new MeterProvider({
  resource,
  readers: [
    new PeriodicExportingMetricReader({ exporter: exporter(OTLPMetricExporter, "metrics") }),
  ],
});
metrics.getMeter("tests").createCounter("requests").add(3, { path: "/" });

const logs = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: exporter(OTLPLogExporter, "logs") })],
});
logs.getLogger("tests").emit({ severityNumber: SeverityNumber.WARN, body: "careful" });


await Promise.all([tracing.shutdown(), metrics.shutdown(), logs.shutdown()]);
