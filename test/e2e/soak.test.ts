// SPDX-License-Identifier: Apache-2.0
import { Agent, get } from "node:http";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ServerCredentials } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { startFakeApp } from "../fakes/fake-app.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { createOpensslPki } from "../support/openssl-pki.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { clusterResource, listenerResource } from "../support/xds-resources.ts";
import { type Pod, startPod } from "../support/pod.ts";

/** Ten minutes show what days would; the short run finds what grows fast. `ATTACHE_SOAK_SECONDS` sets it. */
const seconds = Number(process.env["ATTACHE_SOAK_SECONDS"] ?? 45);
const isLong = seconds >= 300;
/** Of private memory, from the end of the warm-up on. A short run only finds what grows fast: the heap still settles. */
const mostGrowth = isLong ? 0.05 : 0.3;
const warmUp = isLong ? 60 / seconds : 0.4;
/**
 * The long run has its machine for itself: in its first minute the engine compiles what days of probes and scrapes would
 * have it compile, one scrape in fifteen seconds and as many probes taken for usual.
 */
const pace = isLong ? { pauseMs: 6, turnsPerScrape: 4 } : { pauseMs: 15, turnsPerScrape: 20 };
/** The store tries at most ten times a minute. */
const certificateMs = 15_000;
/** Between two restarts of the control plane, or looks at the certificate in use. */
const everyMs = 3_500;
const probedPath = "/app-health/web/readyz";
const cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const listener = "type.googleapis.com/envoy.config.listener.v3.Listener";

interface Sample {
  readonly privateKb: number;
  readonly descriptors: number;
  readonly children: number;
  /** Timers that wait at that moment; undefined where they were not asked for. */
  readonly timers: number | undefined;
}

function sample(pid: number, timers: number | undefined): Sample {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  const children = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, "utf8");
  return {
    privateKb: Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]),
    descriptors: readdirSync(`/proc/${String(pid)}/fd`).length,
    children: children.trim().split(" ").length,
    timers,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** What a pod goes through in a day or more, in `seconds`: probes, scrapes, and whatever `everyFewSeconds` does. */
async function live(pod: Pod, everyFewSeconds: () => Promise<void>): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const keepAlive = new Agent({ keepAlive: true, maxSockets: 2 });
  const endMs = performance.now() + seconds * 1_000;
  let nextMs = performance.now() + everyMs;
  for (let turn = 0; performance.now() < endMs; turn++) {
    await ask(pod, "/healthz/ready", turn % 2 === 0 ? keepAlive : false);
    if (turn % 10 === 0) await ask(pod, probedPath, false);
    if (turn % pace.turnsPerScrape === 0) await ask(pod, "/stats/prometheus", keepAlive);
    if (performance.now() >= nextMs) {
      nextMs += everyMs;
      await everyFewSeconds();
    }
    if (turn % 20 === 0) samples.push(sample(pod.pid, turn % 100 === 0 ? await countTimers(pod) : undefined));
    await systemClock.delay(pace.pauseMs);
  }
  keepAlive.destroy();
  return samples;
}

function ask(pod: Pod, path: string, agent: Agent | false): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port: pod.ports.status, path, agent }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (text: string) => {
        body += text;
      });
      answer.on("end", () => {
        if (answer.statusCode === 200) resolve(body);
        else reject(new Error(`${path} answered ${String(answer.statusCode)}: ${body}\n${pod.log().slice(-3_000)}`));
      });
    }).on("error", reject);
  });
}

async function countTimers(pod: Pod): Promise<number> {
  const report = JSON.parse(await ask(pod, "/debug/event-loop?seconds=0.02", false)) as {
    readonly waitsFor: Readonly<Record<string, number>>;
  };
  return report.waitsFor["Timeout"] ?? 0;
}

function expectSteady(name: string, samples: readonly Sample[]): void {
  const third = Math.floor(samples.length / 6);
  const warm = samples.slice(Math.floor(samples.length * warmUp));
  const memory = (part: readonly Sample[]): number => median(part.map(({ privateKb }) => privateKb));
  const before = memory(warm.slice(0, third));
  const after = memory(warm.slice(-third));
  const facts = `${name}: private memory ${String(before)} kB, then ${String(after)} kB`;
  expect(after / before, facts).toBeLessThan(1 + mostGrowth);
  const most = (part: readonly Sample[], what: "descriptors" | "children"): number =>
    Math.max(...part.map((each) => each[what]));
  expect(most(warm.slice(-third), "descriptors"), name).toBeLessThanOrEqual(
    most(warm.slice(0, third), "descriptors") + 2,
  );
  const timers = (part: readonly Sample[]): number => median(part.flatMap((each) => each.timers ?? []));
  expect(timers(warm.slice(-third)), `${name}: timers`).toBeLessThanOrEqual(timers(warm.slice(0, third)) + 1);
  expect(most(warm.slice(-third), "children"), name).toBe(1);
  process.stdout.write(`${facts}\n`);
}

test("rotations, outages, scrapes and probes leave nothing behind", { timeout: (seconds + 60) * 1_000 }, async () => {
  await using ca = await startFakeCa({ lifetimeMs: certificateMs, backdateMs: 0 });
  await using directory = await temporaryDirectory();
  const pki = await createOpensslPki(directory.path);
  const { chainPem, keyPem } = await pki.issue(
    "spiffe://cluster.local/ns/istio-system/sa/istiod,DNS:istiod.istio-system.svc",
  );
  const pair = { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) };
  const credentials = ServerCredentials.createSsl(null, [pair]);
  await using controlPlane = await startFakeControlPlane(credentials);
  await using app = await startFakeApp((_request, response) => response.end("well"));
  const probers = { [probedPath]: { httpGet: { path: "/", port: app.port } } };
  const env = { ATTACHE_ROTATION_FLOOR: "500ms", ISTIO_KUBE_APP_PROBERS: JSON.stringify(probers) };
  await using onFiles = await startPod({ ca, env });
  let version = 0;
  const push = (port: number): void => {
    version++;
    controlPlane.set(cluster, [clusterResource("a", String(version))]);
    controlPlane.set(listener, [listenerResource("web", port, `v${String(version)}`)]);
  };
  await using onControlPlane = await startPod({
    ca,
    env: { ...env, ATTACHE_XDS_FILES: "", XDS_ROOT_CA: join(directory.path, "xds-root.pem") },
    proxyConfig: { discoveryAddress: `localhost:${String(controlPlane.port)}` },
    prepare: async ({ ports }) => {
      push(ports.inbound);
      await writeFile(join(directory.path, "xds-root.pem"), pki.rootPem);
    },
  });
  await Promise.all([onFiles.untilReady(), onControlPlane.untilReady()]);
  const serials = new Set<string>();
  const [filesSamples, controlPlaneSamples] = await Promise.all([
    live(onFiles, async () => {
      for (const serial of await onFiles.serials()) serials.add(serial);
    }),
    live(onControlPlane, async () => {
      await controlPlane.kill();
      await controlPlane.listen(controlPlane.port, credentials);
      push(onControlPlane.ports.inbound);
    }),
  ]);
  expectSteady("certificates over SDS", filesSamples);
  expectSteady("restarts of the control plane", controlPlaneSamples);
  expect(serials.size).toBeGreaterThan(seconds / 20);
});
