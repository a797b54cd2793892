// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Figure } from "./figure.ts";

export const name = "hostile";

/** Short, unless the soak is asked for: 300 is five minutes. */
const seconds = Number(process.env["ATTACHE_HOSTILE_SECONDS"] ?? 10);

/** Of agent and Envoy together. */
const memoryMib = Number(process.env["ATTACHE_HOSTILE_MEMORY_MIB"] ?? 64);

const network = [
  "(echo -10 >/proc/self/autogroup) 2>/dev/null || true",
  "ip link set lo up",
  "(ip link add d0 type dummy 2>/dev/null || ip link add d0 type veth peer name d1)",
  "ip addr add 10.77.0.2/24 dev d0",
  "ip link set d0 up",
].join(" && ");

/**
 * All attacks at once on one pod with 1,024 open files and a memory limit of 64 MiB, beside the kubelet's probes and
 * traffic through Envoy. The load stays in a network of its own, which needs root.
 */
export async function run(): Promise<readonly Figure[]> {
  const script = `${network} && exec "$0" "$1" ${String(seconds)} ${String(memoryMib)}`;
  const program = join(import.meta.dirname, "hostile-pod.ts");
  // before other work on this machine: in a session of its own, whose group of processes gets more of the processors
  const words = ["-n", "-10", "unshare", "-n", "sh", "-c", script, process.execPath, program];
  const child = spawn("nice", words, { detached: true, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const output = await text(child.stdout);
  await exited;
  const line = output.trimEnd().split("\n").at(-1) ?? "";
  if (!line.startsWith("[")) throw new Error(`the pod under attack gave no figures: ${output.slice(-500)}`);
  return JSON.parse(line) as Figure[];
}
