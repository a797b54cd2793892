// SPDX-License-Identifier: Apache-2.0
import { setTimeout as pause } from "node:timers/promises";
import type { Comparison } from "./comparison.ts";
import { assertLoad } from "./load-assertion.ts";
import { processorMs } from "./processes.ts";
import { type Readings, type RowSpec, runInRounds } from "./rounds.ts";
import type { BareSdsServer, SdsServer } from "./sds-bare.ts";
import { openSecretStreams, type SecretStreams } from "./sds-client.ts";

const rounds = 3;
const streamCounts = [1, 100, 1_000];
/** By then a server has read the acknowledgements. */
const settleMs = 200;

/** Lifetime of the certificates: they are renewed after half of it. */
export const rotatedLifetimeMs = 6_000;

/** Renewals of agents with open streams, each stream acknowledges; the bare server sends another certificate when it is told. */
export function compareRotations(
  attache: SdsServer,
  bare: BareSdsServer,
  peer: SdsServer | undefined,
): Promise<readonly Comparison[]> {
  return runInRounds({
    rounds,
    warmUps: 0,
    subjects: {
      attache: () => measure(attache),
      reference: () =>
        measure(bare, () => {
          bare.rotate();
        }),
      peer: peer && (() => measure(peer)),
    },
    rows: rows(),
  });
}

function rows(): Readonly<Record<string, RowSpec>> {
  const specs: Record<string, RowSpec> = {};
  for (const streams of streamCounts) {
    const of = `renewal with ${String(streams)} stream${streams === 1 ? "" : "s"}`;
    if (streams > 1) specs[`ms ${String(streams)}`] = { name: `${of}: first to last with it`, unit: "ms" };
    specs[`cpu ${String(streams)}`] = { name: `${of}: processor time (reference: without a new key)`, unit: "ms" };
  }
  return specs;
}

async function measure({ pid, socketPath }: SdsServer, rotate?: () => void): Promise<Readings> {
  const readings: Record<string, number> = {};
  for (const count of streamCounts) {
    await using streams = await openUniform(socketPath, count);
    streams.acknowledge();
    await pause(settleMs);
    const beforeMs = processorMs(pid);
    rotate?.();
    const { ms, renewed } = await streams.untilNext();
    streams.acknowledge();
    await pause(settleMs);
    readings[`cpu ${String(count)}`] = processorMs(pid) - beforeMs;
    assertLoad(`streams of ${String(count)} with a new certificate`, renewed, count, 1);
    if (count > 1) readings[`ms ${String(count)}`] = ms;
  }
  return readings;
}

/** Opens them again when a renewal was between the first stream and the last. */
async function openUniform(socketPath: string, count: number): Promise<SecretStreams> {
  for (;;) {
    const streams = await openSecretStreams(socketPath, count);
    if (streams.isUniform) return streams;
    await streams[Symbol.asyncDispose]();
  }
}
