// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { engineEnv, engineFlags } from "../../test/support/agent-engine.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { startBackends, startBenchPod } from "./bench-pod.ts";
import type { Row } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { findPeer } from "./peer.ts";
import { privateMegabytes, processorMs } from "./processes.ts";
import { type Readings, type RowSpec, runInRounds } from "./rounds.ts";
import { openSecretStreams } from "./sds-client.ts";
import { measureRotations } from "./sds-rotation.ts";

export const name = "sds";

const streamCounts = [1, 10, 100, 1_000];
const rounds = 9;
/** Of fewer streams several batches, so that a sample is not one response. */
const responsesOfSample = 100;
/** After the start's clean-up. */
const settleMs = 5_000;
/** Streams of the batch before count until the server has seen that they are closed. */
const closeMs = 100;
/** A leaf, an intermediate and a key. */
const secretBytes = 4_000;

interface Server {
  readonly pid: number;
  readonly socketPath: string;
}

/**
 * New streams to the first secret, of a pod's agent with its Envoy; beside it a bare Node.js process that answers with the
 * same number of bytes, and the peer. Then rotations, of the server alone.
 */
export async function run(): Promise<readonly Row[]> {
  const peer = findPeer();
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  const backends = stack.use(await startBackends());
  const startAgent = async (other: typeof peer): Promise<Server> => {
    const pod = stack.use(await startBenchPod({ backends, peer: other }));
    await pod.untilReady();
    return { pid: pod.pid, socketPath: join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket") };
  };
  const attache = await startAgent(undefined);
  const bare = stack.use(await startBareServer(join(path, "socket")));
  const other = peer === undefined ? undefined : await startAgent(peer);
  await pause(settleMs);
  const comparisons = await runInRounds({
    rounds,
    subjects: {
      attache: () => measure(attache),
      reference: () => measure(bare),
      peer: other === undefined ? undefined : () => measure(other),
    },
    rows: rows(),
  });
  return [...comparisons, ...(await measureRotations())];
}

function rows(): Readonly<Record<string, RowSpec>> {
  const specs: Record<string, RowSpec> = {};
  for (const streams of streamCounts) {
    const of = `${String(streams)} new stream${streams === 1 ? "" : "s"}`;
    const limits = streams === 10 ? {} : { limits: { peer: { atMost: 1.1 } } };
    specs[`ms ${String(streams)}`] = { name: `${of}: time per response`, unit: "ms", ...limits };
    specs[`cpu ${String(streams)}`] = { name: `${of}: processor time per response`, unit: "ms" };
    specs[`mb ${String(streams)}`] = { name: `${of} open: private memory`, unit: "MB" };
  }
  return specs;
}

async function measure({ pid, socketPath }: Server): Promise<Readings> {
  const readings: Record<string, number> = {};
  for (const streams of streamCounts) {
    await pause(closeMs);
    const batches = Math.max(1, responsesOfSample / streams);
    let [ms, responses] = [0, 0];
    const beforeMs = processorMs(pid);
    for (let batch = 0; batch < batches; batch++) {
      await using opened = await openSecretStreams(socketPath, streams);
      ms += opened.ms;
      responses += opened.responses;
      if (batch === batches - 1) readings[`mb ${String(streams)}`] = privateMegabytes(pid);
    }
    assertLoad(`responses with a certificate on ${String(streams)} streams`, responses, batches * streams, 1);
    readings[`ms ${String(streams)}`] = ms / responses;
    readings[`cpu ${String(streams)}`] = (processorMs(pid) - beforeMs) / responses;
  }
  return readings;
}

async function startBareServer(socketPath: string): Promise<Server & AsyncDisposable> {
  const child = fork(join(import.meta.dirname, "sds-bare-server.cjs"), [socketPath, String(secretBytes)], {
    execArgv: [...engineFlags],
    env: { ...process.env, ...engineEnv },
  });
  const exited = once(child, "exit");
  await once(child, "message");
  return {
    pid: child.pid ?? 0,
    socketPath,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
