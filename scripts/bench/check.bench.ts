// SPDX-License-Identifier: Apache-2.0
import { setTimeout as pause } from "node:timers/promises";
import { percentile, startProber } from "../../test/support/prober.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { startBareProcess } from "./bare-process.ts";
import { type Backends, startBackends } from "./bench-pod.ts";
import type { Row } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { answers, measureStart } from "./measured-start.ts";
import { privateMegabytes, processorMs } from "./processes.ts";
import { type Readings, runInRounds } from "./rounds.ts";

export const name = "check";
/** `npm run bench -- --check` runs it, and compares it with scripts/bench/recorded.json. */
export const onlyNamed = true;

const rounds = Number(process.env["ATTACHE_CHECK_ROUNDS"] ?? 4);
const restMs = 3_000;
const probes = 200;
const probeMs = 2_000;

/**
 * What a regression shows in, beside a bare Node.js process of the same round: processor time instead of time, so that
 * other work on the machine changes little.
 */
export async function run(): Promise<readonly Row[]> {
  await using backends = await startBackends();
  return await runInRounds({
    rounds,
    subjects: { attache: () => measureAgent(backends), reference: measureReference },
    rows: {
      execMs: { name: "processor time from start to Envoy's exec", unit: "ms" },
      privateMb: { name: "private memory at rest", unit: "MB" },
      longestMs: { name: "processor time of the longest of 50 probes", unit: "ms" },
    },
  });
}

function measureAgent(backends: Backends): Promise<Readings> {
  return measureStart({ backends, peer: undefined, key: "ecdsa" }, async (pod, { processorMsToExec }) => {
    await pause(restMs);
    const privateMb = privateMegabytes(pod.pid);
    const longestMs = await probeFor(pod.ports.status, "/healthz/ready", pod.pid);
    return { execMs: processorMsToExec, privateMb, longestMs };
  });
}

async function measureReference(): Promise<Readings> {
  await using directory = await temporaryDirectory();
  await using bare = await startBareProcess(directory.path);
  const execMs = processorMs(bare.pid);
  await pause(restMs);
  const privateMb = privateMegabytes(bare.pid);
  return { execMs, privateMb, longestMs: await probeFor(bare.port, "/", bare.pid) };
}

/** @throws LoadError when fewer probes were answered than this says */
async function probeFor(port: number, path: string, pid: number): Promise<number> {
  let answered = 0;
  for (let probe = 0; probe < probes; probe++) if (await answers(port, path)) answered++;
  assertLoad("probes answered", answered, probes);
  await using prober = await startProber([{ url: `http://127.0.0.1:${String(port)}${path}`, pid }]);
  await pause(probeMs);
  return percentile((await prober.stop())[0] ?? [], 0.98);
}
