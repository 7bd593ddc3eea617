// What a program does with the Automagik SDK of npm: one request for each item, all at once.
const [what, project, home, environment] = process.argv.slice(2);
Object.assign(process.env, { HOME: home, ...JSON.parse(environment) });

const { AutomagikTelemetry, MetricType, LogSeverity } = (await import("@automagik/telemetry")).default;
const client = new AutomagikTelemetry({ projectName: project, version: "1.2.3" });

if (what === "many") {
  for (let at = 0; at < 200; at++) client.trackEvent("automagik.feature.used", { at });
} else {
  client.trackEvent("automagik.feature.used", { feature_name: "list", ok: true, n: 3 });
  client.trackError(new TypeError("no such contact"), { error_code: "E1" });
  client.trackMetric("load", 1.5, MetricType.GAUGE, { unit: "1" });
  client.trackMetric("sent", 2, MetricType.COUNTER);
  client.trackMetric("latency", 12.5, MetricType.HISTOGRAM);
  client.trackLog("be careful", LogSeverity.WARN, { where: "here" });
}
await client.flush();
await client.disable(); // ends the timer; what is under way goes on, and then the process ends
