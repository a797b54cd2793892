// SPDX-License-Identifier: Apache-2.0
import { setTimeout as pause } from "node:timers/promises";
import type { Pod } from "../../test/support/pod.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { startBareProcess } from "./bare-process.ts";
import { type Backends, startBackends, startBenchPod } from "./bench-pod.ts";
import type { Comparison } from "./comparison.ts";
import { type Figure, median, type Row } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { answers } from "./measured-start.ts";
import { findPeer, type Peer } from "./peer.ts";
import { privateMegabytes, residentMegabytes } from "./processes.ts";
import { clustersOf, push } from "./pushes.ts";
import { type Readings, runInRounds } from "./rounds.ts";

export const name = "memory";

const rounds = 3;
/** By then nothing of the start is left to do. */
const restMs = 5_000;
const pushes = 3;
const pushBytes = 20e6;

/** The soak runs only when it is asked for; 600 is ten minutes. */
const soakSeconds = Number(process.env["ATTACHE_SOAK_SECONDS"] ?? 0);
const soakWarmUpSeconds = 60;
const probesPerSecond = 20;

/**
 * Memory of the agent at rest and after pushes; the reference is a bare Node.js process with one HTTP port. Asserts the bytes
 * of each push that Envoy has received.
 */
export async function run(): Promise<readonly Row[]> {
  await using backends = await startBackends();
  const peer = findPeer();
  return [...(await compareMemory(backends, peer)), ...(soakSeconds > 0 ? await soak(backends) : [])];
}

async function compareMemory(backends: Backends, peer: Peer | undefined): Promise<readonly Comparison[]> {
  const agent = (of: Peer | undefined) => (): Promise<Readings> => measureAgent(backends, of);
  return await runInRounds({
    rounds,
    warmUps: 0,
    subjects: {
      attache: agent(undefined),
      reference: measureReference,
      peer: peer === undefined ? undefined : agent(peer),
    },
    rows: {
      privateMb: {
        name: "private memory at rest",
        unit: "MB",
        limits: { reference: { atMost: 1.9 }, peer: { atMost: 1.3 } },
      },
      residentMb: {
        name: "resident memory at rest",
        unit: "MB",
        limits: { reference: { atMost: 1.5 }, peer: { atMost: 1.5 } },
      },
      pushedMb: {
        name: `private memory 5 s after ${String(pushes)} pushes of 20 MB (reference: at rest)`,
        unit: "MB",
        limits: { reference: { atMost: 3 }, peer: { atMost: 0.2 } },
      },
    },
  });
}

async function measureAgent(backends: Backends, peer: Peer | undefined): Promise<Readings> {
  await using pod = await startBenchPod({ backends, peer });
  await untilReady(pod);
  await pause(restMs);
  const privateMb = privateMegabytes(pod.pid);
  const residentMb = residentMegabytes(pod.pid);
  for (let version = 1; version <= pushes; version++) {
    await push(backends.controlPlane, pod, clustersOf(pushBytes, String(version)));
  }
  await pause(restMs);
  return { privateMb, residentMb, pushedMb: privateMegabytes(pod.pid) };
}

async function measureReference(): Promise<Readings> {
  await using directory = await temporaryDirectory();
  await using bare = await startBareProcess(directory.path);
  await pause(restMs);
  const privateMb = privateMegabytes(bare.pid);
  return { privateMb, residentMb: residentMegabytes(bare.pid), pushedMb: privateMb };
}

async function untilReady(pod: Pod): Promise<void> {
  while (!(await answers(pod.ports.status, "/healthz/ready"))) await pause(50);
}

/** Probes, scrapes and pushes: the last sixth of the time beside the first one after a minute. */
async function soak(backends: Backends): Promise<readonly Figure[]> {
  await using pod = await startBenchPod({ backends, peer: undefined });
  await untilReady(pod);
  const samples: { readonly second: number; readonly mb: number }[] = [];
  const startMs = performance.now();
  const small = [clustersOf(1e6, "a"), clustersOf(1e6, "b")] as const;
  let asked = 0;
  for (let second = 0; second < soakSeconds; second++) {
    for (let probe = 0; probe < probesPerSecond; probe++) {
      if (await answers(pod.ports.status, "/healthz/ready")) asked++;
      const dueMs = startMs + (second + (probe + 1) / probesPerSecond) * 1_000;
      await pause(Math.max(0, dueMs - performance.now()));
    }
    if (second % 15 === 0 && (await answers(pod.ports.status, "/stats/prometheus"))) asked++;
    if (second % 30 === 0) await push(backends.controlPlane, pod, small[(second / 30) % 2] ?? small[0]);
    samples.push({ second, mb: privateMegabytes(pod.pid) });
  }
  assertLoad("requests answered in the soak", asked, soakSeconds * probesPerSecond);
  const warm = samples.filter(({ second }) => second >= soakWarmUpSeconds);
  const part = Math.floor(warm.length / 6);
  const before = median(warm.slice(0, part).map(({ mb }) => mb));
  const after = median(warm.slice(-part).map(({ mb }) => mb));
  const label = `soak of ${String(soakSeconds)} s`;
  return [
    { name: `${label}: private memory after a minute`, value: before, unit: "MB" },
    { name: `${label}: private memory at the end`, value: after, unit: "MB" },
    { name: `${label}: growth`, value: (after / before - 1) * 100, unit: "%", limit: 5 },
  ];
}
