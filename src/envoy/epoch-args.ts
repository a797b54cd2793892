// SPDX-License-Identifier: Apache-2.0
import type { HotRestartConfig } from "./envoy-config.ts";

/** The argument that makes Envoy a single epoch. */
const singleEpoch = "--disable-hot-restart";

/**
 * Envoy's arguments for one epoch of a hot restart: those configured, without the one that forbids it.
 * @param epoch 0 for the first Envoy, one more for each that takes over
 * Source: Envoy's command line documentation
 */
export function epochArgs(args: readonly string[], hotRestart: HotRestartConfig, epoch: number): readonly string[] {
  return [
    ...args.filter((arg) => arg !== singleEpoch),
    ...["--restart-epoch", String(epoch), "--base-id", String(hotRestart.baseId)],
    ...["--parent-shutdown-time-s", String(Math.max(1, Math.ceil(hotRestart.parentShutdownMs / 1_000)))],
  ];
}

/** Arguments with which Envoy checks its bootstrap and ends: never as an epoch, so that no running Envoy is disturbed. */
export function validationArgs(args: readonly string[]): readonly string[] {
  return [...args.filter((arg) => arg !== singleEpoch), singleEpoch, "--mode", "validate"];
}
