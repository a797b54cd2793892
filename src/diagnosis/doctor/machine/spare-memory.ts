// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { createUsageReader, findLimitedGroup } from "../../../lib/memory-usage.ts";
import { type ControlGroupPlaces, systemPlaces } from "./control-group-files.ts";

const mib = 1024 * 1024;
/** What the checks take beyond what this process has when they begin. Measured: 6 to 8 MB. */
const neededBytes = 12 * mib;

/**
 * Has the system end this process first when memory is short, and nothing that the container is for. A process may always
 * say that of itself. Source: proc(5), /proc/PID/oom_score_adj
 */
export async function yieldMemory(): Promise<void> {
  await writeFile("/proc/self/oom_score_adj", "1000").catch(() => undefined);
}

/**
 * Why the checks would endanger what runs in this container; undefined if there is space. Reaching the limit may end all
 * of the container's processes.
 */
export function memoryShortage(places: ControlGroupPlaces = systemPlaces): string | undefined {
  const limitBytes = findLimitedGroup(places)?.limitBytes;
  const usedBytes = createUsageReader(places)();
  if (limitBytes === undefined || usedBytes === undefined || limitBytes - usedBytes >= neededBytes) return undefined;
  const [left, limit, needed] = [Math.max(0, limitBytes - usedBytes), limitBytes, neededBytes].map((bytes) =>
    String(Math.floor(bytes / mib)),
  );
  return `${left ?? ""} MiB are left of the memory limit of ${limit ?? ""} MiB, and the checks need ${needed ?? ""} MiB, so none was made`;
}
