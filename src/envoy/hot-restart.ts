// SPDX-License-Identifier: Apache-2.0
import { open, unlink } from "node:fs/promises";
import { abortReason, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { createEnvoyAdmin } from "./admin-client.ts";
import { validateBootstrap } from "./validation.ts";
import type { EnvoyConfig, HotRestartConfig } from "./envoy-config.ts";
import { describeExit } from "./envoy-exit.ts";
import { type EnvoyDeps, type EnvoyProcess, startEnvoyProcess } from "./envoy-process.ts";

export interface NextEpoch {
  readonly config: EnvoyConfig;
  readonly hotRestart: HotRestartConfig;
  readonly epoch: number;
}

export type EpochStart =
  | { readonly kind: "live"; readonly process: EnvoyProcess }
  | { readonly kind: "failed"; readonly reason: string };

export interface EpochLimits {
  /** Aborts when the new epoch may not start any more. */
  readonly mayStart: AbortSignal;
  /** Aborts when the new epoch, if it has started, must not be waited for any more. */
  readonly mayRun: AbortSignal;
}

const validateWithinMs = 5_000;
const checkEveryMs = 25;

/**
 * Starts the next epoch and waits until it is live. A bootstrap that Envoy rejects is found before the new epoch touches
 * the running Envoy. An epoch that is not live in time is killed, and the running Envoy stays.
 */
export async function startNextEpoch(next: NextEpoch, deps: EnvoyDeps, limits: EpochLimits): Promise<EpochStart> {
  const { config, hotRestart, epoch } = next;
  const validation = await validateBootstrap(config, validateWithinMs, limits.mayStart);
  if (limits.mayStart.aborted) return failed(abortReason(limits.mayStart).message);
  if (validation.kind === "rejected") {
    return failed(`Envoy rejected the bootstrap: ${validation.detail ?? "no reason given"}`);
  }
  let process: EnvoyProcess;
  try {
    process = startEnvoyProcess(config, epoch, deps);
  } catch (error) {
    return failed(describeError(error));
  }
  try {
    await process.orExited(untilLive(next, process, deps, limits.mayRun));
    return { kind: "live", process };
  } catch (error) {
    const reason = process.exit === undefined ? describeError(error) : `it exited with ${describeExit(process.exit)}`;
    await process[Symbol.asyncDispose]();
    await clearInitializing(hotRestart.baseId);
    return failed(reason);
  }
}

async function untilLive(
  { config, hotRestart, epoch }: NextEpoch,
  process: EnvoyProcess,
  deps: EnvoyDeps,
  signal: AbortSignal,
): Promise<void> {
  const admin = createEnvoyAdmin(config.admin, deps);
  using limit = deadline(deps.clock, hotRestart.liveWithinMs, signal);
  while (process.exit === undefined) {
    const info = await admin.serverInfo(limit.signal).catch(() => undefined);
    if (info?.restartEpoch === epoch && info.state === "LIVE") return;
    await deps.clock.delay(checkEveryMs, limit.signal);
  }
}

function failed(reason: string): EpochStart {
  return { kind: "failed", reason };
}

/** Shared by all epochs. Source: Envoy's hot restart; name and layout observed with Envoy 1.40 */
const sharedMemory = { bytes: 104, offsetOfFlags: 96, sizeOfFlags: 8 } as const;

function sharedMemoryPath(baseId: number): string {
  return `/dev/shm/envoy_shared_memory_${String(baseId * 10)}`;
}

/**
 * Clears the flag that an epoch which is killed during its initialization leaves in the shared memory: every later epoch
 * would exit because of it. Memory of another layout is left alone.
 */
async function clearInitializing(baseId: number): Promise<void> {
  try {
    await using memory = await open(sharedMemoryPath(baseId), "r+");
    const header = Buffer.alloc(8);
    await memory.read(header, 0, 8, 0);
    if (header.readBigUInt64LE() !== BigInt(sharedMemory.bytes)) return;
    await memory.write(Buffer.alloc(sharedMemory.sizeOfFlags), 0, sharedMemory.sizeOfFlags, sharedMemory.offsetOfFlags);
  } catch {
    // without shared memory there is no flag
  }
}

/** Call it when the last epoch has exited. */
export async function removeSharedMemory(baseId: number): Promise<void> {
  await unlink(sharedMemoryPath(baseId)).catch(() => undefined);
}
