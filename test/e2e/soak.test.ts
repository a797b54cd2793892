// SPDX-License-Identifier: Apache-2.0
import { Agent, get } from "node:http";
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { systemClock } from "../../src/lib/clock.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { clusterResource, listenerResource } from "../support/xds-resources.ts";
import { type Pod, startPod } from "../support/pod.ts";

/** Ten minutes show what a day would; the short run finds what grows fast. `ATTACHE_SOAK_SECONDS` sets it. */
const seconds = Number(process.env["ATTACHE_SOAK_SECONDS"] ?? 45);
/** Of private memory, from the end of the warm-up on. A short run only finds what grows fast: the heap still settles. */
const mostGrowth = seconds >= 300 ? 0.05 : 0.3;
const warmUp = seconds >= 300 ? 60 / seconds : 0.4;
/** The store tries at most ten times a minute. */
const certificateMs = 15_000;
const cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const listener = "type.googleapis.com/envoy.config.listener.v3.Listener";

interface Sample {
  readonly privateKb: number;
  readonly descriptors: number;
  readonly children: number;
}

function sample(pid: number): Sample {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  const children = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, "utf8");
  return {
    privateKb: Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]),
    descriptors: readdirSync(`/proc/${String(pid)}/fd`).length,
    children: children.trim().split(" ").length,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** What a pod goes through in a day or more, in `seconds`: probes, scrapes, and whatever `everyFewSeconds` does. */
async function live(pod: Pod, everyFewSeconds: () => Promise<void>): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const keepAlive = new Agent({ keepAlive: true, maxSockets: 2 });
  const ask = (path: string, agent: Agent | false): Promise<void> =>
    new Promise((resolve, reject) => {
      get({ host: "127.0.0.1", port: pod.ports.status, path, agent }, (answer) => {
        let body = "";
        answer.setEncoding("utf8");
        answer.on("data", (text: string) => {
          body += text;
        });
        answer.on("end", () => {
          if (answer.statusCode === 200) resolve();
          else reject(new Error(`${path} answered ${String(answer.statusCode)}: ${body}\n${pod.log().slice(-3_000)}`));
        });
      }).on("error", reject);
    });
  const endMs = performance.now() + seconds * 1_000;
  for (let turn = 0; performance.now() < endMs; turn++) {
    await ask("/healthz/ready", turn % 2 === 0 ? keepAlive : false);
    if (turn % 20 === 0) await ask("/stats/prometheus", keepAlive);
    if (turn % 200 === 199) await everyFewSeconds();
    if (turn % 20 === 0) samples.push(sample(pod.pid));
    await systemClock.delay(15);
  }
  keepAlive.destroy();
  return samples;
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
  expect(most(warm.slice(-third), "children"), name).toBe(1);
  process.stdout.write(`${facts}\n`);
}

test("rotations, outages, scrapes and probes leave nothing behind", { timeout: (seconds + 60) * 1_000 }, async () => {
  await using ca = await startFakeCa({ lifetimeMs: certificateMs, backdateMs: 0 });
  await using controlPlane = await startFakeControlPlane();
  const env = { ATTACHE_ROTATION_FLOOR: "500ms" };
  await using onFiles = await startPod({ ca, env });
  let version = 0;
  const push = (port: number): void => {
    version++;
    controlPlane.set(cluster, [clusterResource("a", String(version))]);
    controlPlane.set(listener, [listenerResource("web", port, `v${String(version)}`)]);
  };
  await using onControlPlane = await startPod({
    ca,
    env: { ...env, ATTACHE_XDS_FILES: "" },
    proxyConfig: { controlPlaneAuthPolicy: "NONE", discoveryAddress: `localhost:${String(controlPlane.port)}` },
    prepare: ({ ports }) => {
      push(ports.inbound);
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
      await controlPlane.listen(controlPlane.port);
      push(onControlPlane.ports.inbound);
    }),
  ]);
  expectSteady("certificates over SDS", filesSamples);
  expectSteady("restarts of the control plane", controlPlaneSamples);
  expect(serials.size).toBeGreaterThan(seconds / 20);
});
