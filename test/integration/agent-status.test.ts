// SPDX-License-Identifier: Apache-2.0
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, startPod } from "../support/pod.ts";
import { clusterResource } from "../support/xds-resources.ts";

const within = { withinMs: 3_000 };

interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function ask(pod: Pod, path: string, { method = "GET", headers = {} }: Ask = {}): Promise<string> {
  const all = { connection: "close", ...headers };
  const answer = await fetch(`http://127.0.0.1:${String(pod.ports.status)}${path}`, { method, headers: all });
  return await answer.text();
}

function untilShown(pod: Pod, path: string, text: RegExp, headers: Record<string, string> = {}): Promise<void> {
  return eventually(async () => {
    expect(await ask(pod, path, { headers })).toMatch(text);
  }, within);
}

test("the status page of a running agent shows certificate, refused configuration, probes and the drain", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.listener, []);
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1")]);
  const probers = { "/app-health/web/livez": { tcpSocket: { port: ca.port } } };
  await using pod = await startPod({
    ca,
    proxyConfig: { discoveryAddress: `127.0.0.1:${String(controlPlane.port)}`, controlPlaneAuthPolicy: "NONE" },
    env: { ATTACHE_XDS_FILES: "", ISTIO_KUBE_APP_PROBERS: JSON.stringify(probers) },
  });
  await pod.untilReady();
  const html = { Accept: "text/html" };
  const page = await ask(pod, "/", { headers: html });
  expect(page).toMatch(/>spiffe:\/\/cluster\.local\/ns\/demo\/sa\/web<\/div>.*>in 59 min/);
  expect(page).toMatch(/<p id="xds-state" class="quiet">connected to the control plane<\/p>/);
  expect(page).toMatch(/>clusters \(CDS\)<\/b><\/div>.*?SYNCED.*?<span class="code">\d+<\/span>/);
  expect(page).toContain('<span id="drain">not draining</span>');
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1"), clusterResource("bad", "1", true)]);
  await untilShown(pod, "/", /Envoy rejects clusters \(CDS\) \(<b>bad<\/b>\).*NACKED/s, html);
  await ask(pod, "/app-health/web/livez");
  await untilShown(pod, "/", />\/app-health\/web\/livez<\/div>.*>tcp<\/div>.*>200</, html);
  await ask(pod, "/drain", { method: "POST" });
  await untilShown(pod, "/", /<span id="drain">draining by request</, html);
  const overview = JSON.parse(await ask(pod, "/debug/overview")) as unknown;
  expect(overview).toMatchObject({
    headline: { state: "ready", sentence: expect.stringMatching(/^The pod is ready, but Envoy rejects/) as unknown },
    envoy: { version: expect.stringMatching(/^1\./) as unknown, state: "LIVE" },
    ca: { kind: "istio", address: expect.stringMatching(/:\d+$/) as unknown, failuresInARow: 0 },
    controlPlane: { connected: true },
    node: { namespace: "demo", serviceAccount: "web" },
    certificates: [{ nextRenewalAt: expect.stringMatching(/Z$/) as unknown, issuer: expect.any(String) as unknown }],
    roots: [{ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown }],
    lastErrors: expect.arrayContaining([
      expect.objectContaining({ level: "warn", scope: "xdsproxy", text: expect.stringMatching(/rejected/) as unknown }),
    ]) as unknown,
  });
  await controlPlane.kill();
  await untilShown(pod, "/", /<p id="xds-state"[^>]*>no stream to a control plane/, html);
});

test("a log level is changed for a while in the running agent, and then returns", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const lines = async (probe: string): Promise<number> => {
    await ask(pod, `/app-health/${probe}/livez`);
    await ask(pod, "/healthz/ready");
    return pod.log().split(`/app-health/${probe}/livez`).length - 1;
  };
  expect(await lines("before")).toBe(0);
  await ask(pod, "/debug/logging?status=debug&for=1s", { method: "POST" });
  await eventually(async () => {
    expect(await lines("during")).toBeGreaterThan(0);
  }, within);
  await untilShown(pod, "/debug/logging", /^(?!.*status.*debug)/s);
  expect(await lines("after")).toBe(0);
});

test("certificate files that an application without a proxy reads keep the pod unready while one is missing", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { OUTPUT_CERTS: "./certs" } });
  await pod.untilReady();
  const files = readdirSync(join(pod.directory, "certs"));
  expect(files).toEqual(expect.arrayContaining(["cert-chain.pem", "key.pem", "root-cert.pem"]));
  // the agent may just be writing its files for the second time: once for the certificate, once for the roots
  await eventually(async () => {
    rmSync(join(pod.directory, "certs/cert-chain.pem"), { force: true });
    const { status, body } = await pod.readiness();
    expect([status, body]).toEqual([
      503,
      expect.stringMatching(/^certificate files: .*cert-chain\.pem does not exist/),
    ]);
  }, within);
});

test("node and configuration are shown without what their names call secret", async () => {
  await using ca = await startFakeCa();
  const proxyMetadata = { TRACER_ACCESS_TOKEN: "s3cr3t-value", TRACER_SERVICE: "shown-value" };
  await using pod = await startPod({ ca, proxyConfig: { proxyMetadata } });
  await pod.untilReady();
  for (const path of ["/debug/config", "/debug/node"]) {
    const text = await ask(pod, path);
    expect(text).toContain("shown-value");
    expect(text).not.toContain("s3cr3t-value");
  }
});

test("the readiness gauge is 0 while the pod is not ready, and 1 from then on", async () => {
  await using ca = await startFakeCa();
  ca.set({ kind: "refuse", status: "RESOURCE_EXHAUSTED" });
  await using pod = await startPod({ ca });
  await eventually(async () => {
    expect((await pod.readiness()).status).toBe(503);
  }, within);
  await untilShown(pod, "/metrics", /^istio_agent_ready 0$/m);
  ca.set({ kind: "good" });
  await pod.untilReady();
  await untilShown(pod, "/metrics", /^istio_agent_ready 1$/m);
});
