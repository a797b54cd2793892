// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { KernelResult, KernelTask } from "./kernel-rules-program.ts";
import { runProgram } from "./run-program.ts";

const program = fileURLToPath(new URL("kernel-rules-program.ts", import.meta.url));

/** Whether this user may make network namespaces. */
export const mayMakeNetworks = spawnSync("unshare", ["-n", "true"]).status === 0;

/** Does tasks one after the other in a new network namespace. */
export async function runKernelTasks(tasks: readonly KernelTask[]): Promise<readonly KernelResult[]> {
  const args = ["-n", process.execPath, "--disable-warning=ExperimentalWarning", program, JSON.stringify(tasks)];
  const { code, stdout, stderr } = await runProgram("unshare", args);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as readonly KernelResult[];
}
