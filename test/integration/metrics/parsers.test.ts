// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { projectRoot } from "../../support/run-program.ts";
import { startStatus } from "../status/status-fixture.ts";

const text = { "Content-Type": "text/plain; version=0.0.4" };
const openMetrics = { "Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8" };

/** As Envoy writes it. */
const envoyText = `# TYPE envoy_cluster_upstream_cx_total counter
envoy_cluster_upstream_cx_total{envoy_cluster_name="agent"} 12

# TYPE envoy_cluster_lb_healthy counter
envoy_cluster_lb_healthy{envoy_cluster_name="agent"} 3
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_listener_downstream_cx_length_ms histogram
envoy_listener_downstream_cx_length_ms_bucket{le="0.5"} 0
envoy_listener_downstream_cx_length_ms_bucket{le="1"} 1
envoy_listener_downstream_cx_length_ms_bucket{le="3600000"} 2
envoy_listener_downstream_cx_length_ms_bucket{le="+Inf"} 2
envoy_listener_downstream_cx_length_ms_sum{} 1200.5
envoy_listener_downstream_cx_length_ms_count{} 2
`;

const appText = `# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{code="200",path="/a\\\\b\\"c"} 7 1700000000000
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 1.5
`;

const appOpenMetrics = `# TYPE http_requests counter
# UNIT http_requests requests
# HELP http_requests Requests.
http_requests_total{code="200"} 7.0 # {trace_id="ab"} 0.5
http_requests_created{code="200"} 1.7e+09
# TYPE build info
build_info{version="1"} 1
# EOF
`;

test("promtool and the OpenMetrics parser accept the merged response in their format", async () => {
  await using envoy = await startFakeApp(answer(200, envoyText, text));
  await using plain = await startFakeApp(answer(200, appText, text));
  await using open = await startFakeApp(answer(200, appOpenMetrics, openMetrics));
  const target = ({ port }: { readonly port: number }) =>
    ({ host: "localhost", scheme: "http", port, path: "/" }) as const;
  const cases = [
    { targets: [target(plain)], accept: "text/plain", type: "text/plain" },
    { targets: [target(plain), target(plain)], accept: "text/plain", type: "text/plain" },
    {
      targets: [target(open), target(plain)],
      accept: "application/openmetrics-text;version=1.0.0",
      type: "application/openmetrics-text",
    },
    { targets: [target(open)], accept: "text/plain", type: "text/plain" },
    {
      targets: [target(open), target(open)],
      accept: "application/openmetrics-text;version=1.0.0",
      type: "application/openmetrics-text",
    },
    { targets: [], accept: "application/openmetrics-text;version=1.0.0", type: "text/plain" },
    {
      targets: [target(open)],
      accept: "application/openmetrics-text;version=1.0.0",
      type: "application/openmetrics-text",
    },
  ];
  for (const { targets, accept, type } of cases) {
    await using status = await startStatus({ scrape: { envoyPort: envoy.port, targets } });
    const scraped = await fetch(status.url("/metrics"), { headers: { Accept: accept } });
    expect(scraped.headers.get("content-type")?.split(";")[0]).toBe(type);
    const body = await scraped.text();
    if (type === "text/plain") await expectAccepted("promtool", ["check", "metrics"], body);
    else await expectAccepted("python3", ["-c", parseOpenMetrics], body);
  }
}, 60_000);

const parseOpenMetrics = `
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {family.name: family.type for family in text_string_to_metric_families(sys.stdin.read())}
assert families["http_requests"] == "counter" and families["envoy_server_live"] == "gauge", families
assert families["envoy_cluster_upstream_cx"] == "counter" and families["envoy_cluster_lb_healthy"] == "unknown", families
`;

/** promtool exits with 3 for names it finds unfortunate, which Istio's and Envoy's are; what it cannot read is a 1. */
async function expectAccepted(program: string, args: readonly string[], input: string): Promise<void> {
  const env = { ...process.env, PYTHONPATH: join(projectRoot, ".cache", "python") };
  const child = spawn(program, args, { stdio: ["pipe", "ignore", "pipe"], env });
  const failure = new Promise<never>((_resolve, reject) => child.once("error", reject));
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    complaints += part;
  });
  child.stdin.end(input);
  const exited = new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? 1)));
  const code = await Promise.race([exited, failure]);
  expect([0, 3], complaints).toContain(code);
  expect(complaints).not.toMatch(/error while linting|parsing error/i);
}
