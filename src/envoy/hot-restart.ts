// SPDX-License-Identifier: Apache-2.0
import { open, unlink } from "node:fs/promises";
import { abortReason, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { createEnvoyAdmin } from "./admin-client.ts";
import type { EnvoyConfig, HotRestartConfig } from "./envoy-config.ts";
import { describeExit } from "./envoy-exit.ts";
import { type EnvoyDeps, type EnvoyProcess, startEnvoyProcess } from "./envoy-process.ts";
import { epochArgs } from "./epoch-args.ts";
import { validateBootstrap } from "./validation.ts";

export interface NextEpoch {
  readonly config: EnvoyConfig;
  readonly hotRestart: HotRestartConfig;
  /** Of the Envoy to come. */
  readonly epoch: number;
}

/** What becomes of a new epoch: it serves, or why it does not. */
export type EpochStart =
  | { readonly kind: "live"; readonly process: EnvoyProcess }
  | { readonly kind: "refused"; readonly reason: string };

/** Until when a new epoch may begin, and until when one that has begun may come up. */
export interface EpochLimits {
  readonly begin: AbortSignal;
  readonly finish: AbortSignal;
}

const validateWithinMs = 5_000;
const lookEveryMs = 25;

/**
 * Starts the next epoch and waits until it serves. A bootstrap that it would refuse is found before it touches the
 * running Envoy; an epoch that is not live within its time is killed, and the running one goes on.
 */
export async function startNextEpoch(next: NextEpoch, deps: EnvoyDeps, limits: EpochLimits): Promise<EpochStart> {
  const { config, hotRestart, epoch } = next;
  const validation = await validateBootstrap(config, validateWithinMs, limits.begin);
  if (limits.begin.aborted) return refused(abortReason(limits.begin).message);
  if (validation.kind === "rejected")
    return refused(`its bootstrap is refused: ${validation.detail ?? "no reason given"}`);
  let fresh: EnvoyProcess;
  try {
    fresh = startEnvoyProcess({ ...config, args: epochArgs(config.args, hotRestart, epoch) }, deps);
  } catch (error) {
    return refused(describeError(error));
  }
  try {
    await fresh.orExited(untilLive(next, fresh, deps, limits.finish));
    return { kind: "live", process: fresh };
  } catch (error) {
    const why = fresh.exit === undefined ? describeError(error) : `it ended with ${describeExit(fresh.exit)}`;
    await fresh[Symbol.asyncDispose]();
    await clearInitializing(hotRestart.baseId);
    return refused(why);
  }
}

async function untilLive(
  { config, hotRestart, epoch }: NextEpoch,
  fresh: EnvoyProcess,
  deps: EnvoyDeps,
  signal: AbortSignal,
): Promise<void> {
  const admin = createEnvoyAdmin(config.admin, deps);
  using limit = deadline(deps.clock, hotRestart.liveWithinMs, signal);
  while (fresh.exit === undefined) {
    const info = await admin.serverInfo(limit.signal).catch(() => undefined);
    if (info?.restartEpoch === epoch && info.state === "LIVE") return;
    await deps.clock.delay(lookEveryMs, limit.signal);
  }
}

function refused(reason: string): EpochStart {
  return { kind: "refused", reason };
}

/** Envoy's memory that its epochs share. Source: Envoy's hot restart; name and layout observed with Envoy 1.40 */
const sharedMemory = { bytes: 104, offsetOfFlags: 96, sizeOfFlags: 8 } as const;

function sharedMemoryPath(baseId: number): string {
  return `/dev/shm/envoy_shared_memory_${String(baseId * 10)}`;
}

/**
 * An epoch that is killed while it initialises leaves its mark in the memory that the epochs share, and every later
 * one would give up at the sight of it. Takes the mark away; leaves a memory of another layout alone.
 */
async function clearInitializing(baseId: number): Promise<void> {
  try {
    await using memory = await open(sharedMemoryPath(baseId), "r+");
    const header = Buffer.alloc(8);
    await memory.read(header, 0, 8, 0);
    if (header.readBigUInt64LE() !== BigInt(sharedMemory.bytes)) return;
    await memory.write(Buffer.alloc(sharedMemory.sizeOfFlags), 0, sharedMemory.sizeOfFlags, sharedMemory.offsetOfFlags);
  } catch {
    // no such memory: there is no mark
  }
}

/** Takes away what the epochs shared, once the last of them is gone. */
export async function removeSharedMemory(baseId: number): Promise<void> {
  await unlink(sharedMemoryPath(baseId)).catch(() => undefined);
}
