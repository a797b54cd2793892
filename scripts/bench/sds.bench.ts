// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { startBackends, startBenchPod } from "./bench-pod.ts";
import type { Comparison } from "./comparison.ts";
import type { Row } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { findPeer, type Peer } from "./peer.ts";
import { privateMegabytes, processorMs } from "./processes.ts";
import { type Readings, type RowSpec, runInRounds } from "./rounds.ts";
import { type SdsServer, startBareServer } from "./sds-bare.ts";
import { openSecretStreams } from "./sds-client.ts";
import { compareRotations, rotatedLifetimeMs } from "./sds-rotation.ts";

export const name = "sds";

const streamCounts = [1, 10, 100, 1_000];
const rounds = 9;
/** Of fewer streams several batches, so that a sample is not one response. */
const responsesOfSample = 100;
/** After the start's clean-up. */
const settleMs = 5_000;
/** Streams of the batch before count until the server has seen that they are closed. */
const closeMs = 100;

/**
 * New streams to the first secret, of a pod's agent with its Envoy; beside it a bare Node.js process that answers with the
 * same number of bytes, and the peer. Then renewals, of pods whose certificates live for seconds. Asserts that each stream gets
 * a certificate, and another one when it is renewed.
 */
export async function run(): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  const bare = stack.use(await startBareServer(join(path, "socket")));
  return [
    ...(await withAgents(undefined, async (attache, peer) => await compareStreams(attache, bare, peer))),
    ...(await withAgents(rotatedLifetimeMs, async (attache, peer) => await compareRotations(attache, bare, peer))),
  ];
}

/** @param lifetimeMs of the certificates; undefined is the CA's default */
async function withAgents(
  lifetimeMs: number | undefined,
  use: (attache: SdsServer, peer: SdsServer | undefined) => Promise<readonly Row[]>,
): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const backends = stack.use(await startBackends());
  if (lifetimeMs !== undefined) backends.ca.lifetimeMs = lifetimeMs;
  const start = async (peer: Peer | undefined): Promise<SdsServer> => {
    const pod = stack.use(await startBenchPod({ backends, peer }));
    await pod.untilReady();
    return { pid: pod.pid, socketPath: join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket") };
  };
  const attache = await start(undefined);
  const peer = findPeer();
  const other = peer === undefined ? undefined : await start(peer);
  await pause(settleMs);
  return await use(attache, other);
}

function compareStreams(
  attache: SdsServer,
  bare: SdsServer,
  peer: SdsServer | undefined,
): Promise<readonly Comparison[]> {
  return runInRounds({
    rounds,
    subjects: {
      attache: () => measure(attache),
      reference: () => measure(bare),
      peer: peer && (() => measure(peer)),
    },
    rows: rows(),
  });
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

async function measure({ pid, socketPath }: SdsServer): Promise<Readings> {
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
