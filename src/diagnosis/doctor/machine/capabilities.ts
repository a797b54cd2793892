// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";

/** Source: Linux, include/uapi/linux/capability.h */
export const netAdmin = 12;

/** Whether a process has a capability in effect; undefined when its process is gone. */
export async function hasCapability(pid: number | "self", capability: number): Promise<boolean | undefined> {
  return parseCapability(await readFile(`/proc/${String(pid)}/status`, "utf8").catch(() => ""), capability);
}

/** @param status the text of `/proc/PID/status` */
export function parseCapability(status: string, capability: number): boolean | undefined {
  const mask = /^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1];
  return mask === undefined ? undefined : ((BigInt(`0x${mask}`) >> BigInt(capability)) & 1n) === 1n;
}
