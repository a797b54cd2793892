// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import { expect, test } from "vitest";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { decodeSecret, SdsClient } from "../../fakes/sds-client.ts";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { rawHttp } from "../../support/raw-http.ts";
import { runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

test("through Envoy only readiness is to be had: no path of it reaches a control endpoint", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const ready = await rawHttp(pod.ports.readiness, { target: "/healthz/ready" });
  expect([ready.status, ready.body]).toEqual([200, ""]);
  for (const target of [
    "/healthz/ready/../../quitquitquit",
    "/healthz/ready/%2e%2e/%2e%2e/quitquitquit",
    "/healthz/ready%2f..%2f..%2fquitquitquit",
    "/healthz/ready//../../../quitquitquit",
    "/healthz/ready\\..\\..\\quitquitquit",
  ]) {
    const tried = await rawHttp(pod.ports.readiness, { method: "POST", target });
    expect([target, [307, 400, 404].includes(tried.status)]).toEqual([target, true]);
  }
  expect((await rawHttp(pod.ports.readiness, { target: "/healthz/readyFOO" })).status).toBe(404);
  expect((await rawHttp(pod.ports.readiness, { method: "POST", target: "/quitquitquit" })).status).toBe(404);
  expect((await pod.readiness()).status).toBe(200);
});

test("the tree tells Envoy's conditions, and in strict mode a drained Envoy is not ready", async () => {
  await using ca = await startFakeCa();
  const spawnedMs = performance.now();
  await using pod = await startPod({ ca, env: { ATTACHE_READINESS: "strict" } });
  await pod.untilReady();
  const verbose = await rawHttp(pod.ports.status, { target: "/healthz/ready?verbose" });
  expect(verbose.body).toMatch(
    /^ready: yes\n\[\+\] envoy\n {2}\[\+\] admin interface\n {2}\[\+\] clusters \(CDS\): \d+ accepted/,
  );
  const steps = Array.from(verbose.body.matchAll(/^ {2}(\S[\w ]*\w) +([\d.]+) ms {2}\+([\d.]+) ms$/gm));
  expect(steps.map(([, name]) => name).sort()).toEqual(
    ["Envoy started", "SDS served", "certificate in Envoy", "certificate received", "clusters accepted"].concat([
      "listeners accepted",
      "ready",
      "status served",
      "workers started",
    ]),
  );
  // each begins where the one before it ended, so the last one's end is the time that the whole start took
  const took = steps.reduce((sum, [, , , durationMs]) => sum + Number(durationMs), 0);
  const [, , startMs, durationMs] = steps.at(-1) ?? [];
  expect(took).toBeCloseTo(Number(startMs) + Number(durationMs), 0);
  expect(took).toBeLessThan(performance.now() - spawnedMs);
  // Envoy brings its stats up to date every five seconds
  await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/healthcheck/fail`, { method: "POST" });
  await eventually(
    async () => {
      const { status, body } = await pod.readiness();
      expect([status, body]).toEqual([503, expect.stringContaining("server is not live, current state is: DRAINING")]);
    },
    { withinMs: 8_000 },
  );
});

test.each([
  ["compatible", 200, "[~]"],
  ["strict", 503, "[-]"],
])("a drain that was asked for shows in the tree; in %s mode the answer is %s", async (mode, code, mark) => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { ATTACHE_READINESS: mode } });
  await pod.untilReady();
  expect((await rawHttp(pod.ports.status, { method: "POST", target: "/drain" })).status).toBe(200);
  const { status, headers } = await rawHttp(pod.ports.status, { target: "/healthz/ready" });
  expect([status, headers.get("x-attache-pending")]).toEqual([code, code === 200 ? undefined : "drain"]);
  const { body } = await rawHttp(pod.ports.status, { target: "/healthz/ready?verbose" });
  expect(body).toContain(`${mark} drain: Envoy drains on request of POST /drain`);
});

test("the status port answers probes and scrapes until Envoy is gone, and readiness tells the end", async () => {
  await using ca = await startFakeCa();
  // long enough to look at it
  const env = { MINIMUM_DRAIN_DURATION: "2s" };
  await using pod = await startPod({ ca, env, proxyConfig: { terminationDrainDuration: "2s" } });
  await pod.untilReady();
  pod.kill("SIGTERM");
  await eventually(
    async () => {
      const { status, body } = await pod.readiness();
      expect([status, body]).toEqual([503, expect.stringContaining("server is terminated: ")]);
    },
    { withinMs: 1_000 },
  );
  const scraped = await rawHttp(pod.ports.status, { target: "/stats/prometheus" });
  expect(scraped.body).toMatch(/^envoy_server_live/m);
  expect((await pod.exited).code).toBe(0);
});

test("M1 real Envoy's metrics, the agent's and the application's make one answer that promtool reads", async () => {
  await using ca = await startFakeCa();
  await using app = await startFakeApp(answer(200, "# TYPE app_up gauge\napp_up 1\n"));
  const annotations = JSON.stringify({ scrape: "true", port: String(app.port), path: "/prom" });
  await using pod = await startPod({ ca, env: { ISTIO_PROMETHEUS_ANNOTATIONS: annotations } });
  await pod.untilReady();
  const text = await (await fetch(`http://127.0.0.1:${String(pod.ports.status)}/metrics`)).text();
  expect(text).toMatch(/^istio_agent_cert_expiry_seconds\{resource_name="default"\} \d/m);
  await expectPromtoolReads(text);
  for (const name of ["envoy_server_live", "app_up", "istio_agent_startup_duration_seconds"]) {
    expect(text).toMatch(new RegExp(`^${name}`, "m"));
  }
});

test("M3 a family that the real Envoy has and the application too, with other labels, keeps the samples of both", async () => {
  await using ca = await startFakeCa();
  const body = '# TYPE envoy_server_live gauge\nenvoy_server_live{from="app"} 7\n# TYPE app_up gauge\napp_up 1\n';
  await using app = await startFakeApp(answer(200, body));
  const annotations = JSON.stringify({ scrape: "true", targets: [{ port: String(app.port) }] });
  await using pod = await startPod({ ca, env: { ISTIO_PROMETHEUS_ANNOTATIONS: annotations } });
  await pod.untilReady();
  const scraped = await fetch(`http://127.0.0.1:${String(pod.ports.status)}/stats/prometheus`);
  const text = await scraped.text();
  expect(text.match(/^# TYPE envoy_server_live /gm)).toHaveLength(1);
  expect(text).toMatch(/^envoy_server_live\{\} \d$/m);
  expect(text).toMatch(/^envoy_server_live\{from="app"\} 7$/m);
  expect(text).toMatch(/^app_up 1$/m);
  await expectPromtoolReads(text);
});

test("the mTLS metrics port takes over a rotated certificate without closing", async () => {
  await using ca = await startFakeCa({ lifetimeMs: 5_000 });
  const [secure = 0] = await freePorts(1);
  await using pod = await startPod({ ca, env: { ENVOY_SECURE_MERGED_METRICS_PORT: String(secure) } });
  await pod.untilReady();
  const serials = new Set<string>();
  const codes = new Set<number>();
  await eventually(
    async () => {
      const [code] = await ask(secure, await workloadCertificate(pod), (serial) => serials.add(serial));
      codes.add(code);
      expect(serials.size).toBeGreaterThan(1);
    },
    { withinMs: 15_000 },
  );
  expect([...codes]).toEqual([200]);
});

test("the mTLS metrics port asks for a certificate of the mesh and gives the merged metrics to those who have one", async () => {
  await using ca = await startFakeCa();
  const [secure = 0] = await freePorts(1);
  await using pod = await startPod({ ca, env: { ENVOY_SECURE_MERGED_METRICS_PORT: String(secure) } });
  await pod.untilReady();
  const own = await workloadCertificate(pod);
  expect(await ask(secure, own)).toEqual([200, expect.stringMatching(/^istio_agent_scrapes_total/m)]);
  expect(await ask(secure, undefined)).toEqual([0, ""]);
  expect((await rawHttp(secure, { target: "/metrics" }).catch(() => ({ status: 0 }))).status).toBe(0);
});

/** promtool has nothing against it but style. */
async function expectPromtoolReads(text: string): Promise<void> {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, "metrics"), text);
  const check = await runProgram("sh", ["-c", `promtool check metrics < ${directory.path}/metrics`]);
  expect([0, 3], check.stderr).toContain(check.code);
  expect(check.stderr).not.toMatch(/error while linting|parsing error/i);
}

async function workloadCertificate(pod: Pod): Promise<{ readonly cert: string; readonly key: string }> {
  using client = new SdsClient(join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket"));
  using stream = client.stream();
  stream.ask({ resource_names: ["default"] });
  const { resources } = await stream.untilAnswer(1);
  const certificate = decodeSecret(resources[0]).tls_certificate;
  return {
    cert: String(certificate?.certificate_chain.inline_bytes),
    key: String(certificate?.private_key?.inline_bytes),
  };
}

/** The answer over TLS with this client certificate; 0 when the handshake fails. */
function ask(
  port: number,
  client: { readonly cert: string; readonly key: string } | undefined,
  onSerial: (serial: string) => void = () => undefined,
): Promise<[number, string]> {
  return new Promise((resolve) => {
    const asked = request(
      { host: "127.0.0.1", port, path: "/stats/prometheus", rejectUnauthorized: false, ...client },
      (response) => {
        if (response.socket instanceof TLSSocket) onSerial(response.socket.getPeerCertificate().serialNumber);
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          resolve([response.statusCode ?? 0, Buffer.concat(chunks).toString()]);
        });
      },
    );
    asked.on("error", () => {
      resolve([0, ""]);
    });
    asked.end();
  });
}
