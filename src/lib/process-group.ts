// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess, SpawnOptions } from "node:child_process";

/** For `spawn`: the child leads a process group of its own, to which everything that it starts belongs. */
export const ownGroup = { detached: true } as const satisfies SpawnOptions;

/**
 * Kills all processes of the group that a child leads, also when the child itself has exited. Has no effect when none
 * is left. Call it no later than in the child's `exit` event: another process may get the number afterwards.
 */
export function killGroup({ pid }: Pick<ChildProcess, "pid">): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // no process of the group is left
  }
}
