// SPDX-License-Identifier: Apache-2.0
// Watches the machine for a bench, whose process id is its argument, until the parent says stop.
import { readdirSync, readFileSync } from "node:fs";
import { FamilyTime, parseBusyTicks, parseProcessStat } from "./machine-load.ts";

/** A process that lives shorter, and whose parent ends without it, counts as other work. */
const everyMs = 200;
const ticksPerSecond = 100;

const family = new FamilyTime(Number(process.argv[2]));

function look() {
  const stats = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => parseProcessStat(readText(`/proc/${name}/stat`)) ?? []);
  return { own: family.update(stats), busy: parseBusyTicks(readText("/proc/stat")) };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const first = look();
const startMs = performance.now();
const timer = setInterval(look, everyMs);
process.send?.("watching");
process.once("message", () => {
  clearInterval(timer);
  const last = look();
  const others = last.busy - first.busy - (last.own - first.own);
  process.send?.(Math.max(0, others / ticksPerSecond / ((performance.now() - startMs) / 1_000)));
  process.disconnect?.();
});
