// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { createUsageReader, findLimitedGroup } from "../../../lib/memory-usage.ts";
import { limits } from "../../../model/limits.ts";
import { fail, type Finding, ok, warn } from "../check.ts";
import { type ControlGroupPlaces, counterOf, readGroupFile, systemPlaces } from "./control-group-files.ts";
import type { Machine } from "./machine.ts";

const mib = 1024 * 1024;

/** With less, the pod does not become ready: measured by the bench suite `limits`. docs/performance.md */
const leastMemoryBytes = 56 * mib;
/** With less, budgets have their smallest sizes. docs/limits.md */
const usualMemoryBytes = 96 * mib;

/**
 * The memory limit against need, what is in use of it, and kills.
 * @param own memory of this process, which is in the same group
 */
export async function memoryFindings(
  { isRunning }: Pick<Machine, "isRunning">,
  places: ControlGroupPlaces = systemPlaces,
): Promise<readonly Finding[]> {
  const check = "limits.memory";
  const limitBytes = findLimitedGroup(places)?.limitBytes;
  // without a limit, version 1 has a number that no machine has
  if (limitBytes === undefined || limitBytes > 2 ** 50) return [ok(check, "no memory limit")];
  const limit = `${String(Math.floor(limitBytes / mib))} MiB`;
  const raise = `Raise the container's memory limit to ${String(2 * (usualMemoryBytes / mib))} MiB or more`;
  const kills = await killFindings(raise, places);
  if (limitBytes < leastMemoryBytes) {
    const fact = `the memory limit is ${limit}; agent and Envoy need ${String(leastMemoryBytes / mib)} MiB without any load`;
    return [fail(check, fact, `${raise}.`), ...kills];
  }
  const usedBytes = isRunning ? await usedByOthers(places) : undefined;
  const spentAt = limits["container-memory-bytes"].size({ memoryBytes: limitBytes, heapBytes: 0, openFiles: 0 });
  if (usedBytes !== undefined && usedBytes > spentAt) {
    const fact = `${String(Math.ceil(usedBytes / mib))} MiB of ${limit} are in use; the agent rejects work for others above ${String(Math.floor(spentAt / mib))} MiB`;
    return [
      fail(check, fact, `${raise}, or reduce what Envoy has to hold: the Sidecar resource limits its configuration.`),
      ...kills,
    ];
  }
  const use = usedBytes === undefined ? "" : `, ${String(Math.ceil(usedBytes / mib))} MiB in use`;
  if (limitBytes < usualMemoryBytes) {
    return [warn(check, `the memory limit is ${limit}${use}: enough for a small mesh only`, `${raise}.`), ...kills];
  }
  return [ok(check, `memory limit ${limit}${use}`), ...kills];
}

/** What is in use without this process. */
async function usedByOthers(places: ControlGroupPlaces): Promise<number | undefined> {
  const used = createUsageReader(places)();
  const status = await readFile("/proc/self/status", "utf8").catch(() => "");
  const own = Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  return used === undefined ? undefined : Math.max(0, used - own);
}

async function killFindings(raise: string, places: ControlGroupPlaces): Promise<readonly Finding[]> {
  const text = await readGroupFile("memory", { unified: "memory.events", legacy: "memory.oom_control" }, places);
  const kills = counterOf(text ?? "", "oom_kill");
  if (kills === 0) return [];
  const fact = `the system has killed ${String(kills)} ${kills === 1 ? "process" : "processes"} of this container at its memory limit`;
  return [warn("limits.out-of-memory", fact, `${raise}.`)];
}

/** With less, a start takes some ten seconds: the bench suite `limits` measures 100m and 50m. docs/performance.md */
const leastProcessors = 0.1;
const throttledShare = 0.25;
/** The start is always throttled with a small quota: that much of it does not count. */
const leastPeriods = 600;

/** The quota of processor time, and how often it was spent. */
export async function cpuFindings(places: ControlGroupPlaces = systemPlaces): Promise<readonly Finding[]> {
  const check = "limits.cpu";
  const processors = await readProcessors(places);
  const stat = (await readGroupFile("cpu", { unified: "cpu.stat", legacy: "cpu.stat" }, places)) ?? "";
  if (processors === undefined) return [ok(check, "no limit of processor time")];
  const quota = `${String(Math.round(processors * 1000))}m of a processor`;
  const raise = "Raise the container's CPU limit, or remove it";
  const periods = counterOf(stat, "nr_periods");
  const throttled = counterOf(stat, "nr_throttled") / Math.max(1, periods);
  if (processors < leastProcessors) {
    return [warn(check, `the CPU limit is ${quota}: start and probes take seconds`, `${raise}: 100m at least.`)];
  }
  if (periods >= leastPeriods && throttled > throttledShare) {
    const fact = `the CPU limit of ${quota} was spent in ${String(Math.round(throttled * 100))} % of all periods`;
    return [warn(check, fact, `${raise}: each such period delays requests by up to 100 ms.`)];
  }
  return [ok(check, `CPU limit ${quota}`)];
}

/** Source: Linux's cgroup-v2 document (cpu.max) and cgroup-v1 documents (cpu.cfs_quota_us) */
async function readProcessors(places: ControlGroupPlaces): Promise<number | undefined> {
  const quota = await readGroupFile("cpu", { unified: "cpu.max", legacy: "cpu.cfs_quota_us" }, places);
  const period = await readGroupFile("cpu", { unified: "cpu.max", legacy: "cpu.cfs_period_us" }, places);
  const quotaUs = Number(quota?.trim().split(" ")[0] ?? -1);
  const periodUs = Number(period?.trim().split(" ").at(-1) ?? 0);
  return Number.isFinite(quotaUs) && quotaUs > 0 && periodUs > 0 ? quotaUs / periodUs : undefined;
}

/** Threads count too: the agent has about 12, Envoy 6 and two for each worker. */
const leastTasks = 64;

/** The limit of processes and threads. */
export async function pidFindings(places: ControlGroupPlaces = systemPlaces): Promise<readonly Finding[]> {
  const check = "limits.pids";
  const names = (name: string) => ({ unified: name, legacy: name });
  const most = Number((await readGroupFile("pids", names("pids.max"), places))?.trim() ?? Number.NaN);
  const now = Number((await readGroupFile("pids", names("pids.current"), places))?.trim() ?? Number.NaN);
  if (!Number.isFinite(most)) return [ok(check, "no limit of processes")];
  const raise = "Raise the limit of processes (podPidsLimit of the kubelet, TasksMax of systemd)";
  if (most < leastTasks) {
    const fact = `at most ${String(most)} processes and threads; agent and Envoy need ${String(leastTasks)}`;
    return [fail(check, fact, `${raise} to ${String(2 * leastTasks)} or more.`)];
  }
  if (now > most * 0.9) {
    const fact = `${String(now)} of ${String(most)} processes and threads are in use`;
    return [warn(check, fact, `${raise}, or look for what starts them: ps -eLf.`)];
  }
  return [ok(check, `${Number.isFinite(now) ? `${String(now)} of ` : ""}${String(most)} processes and threads`)];
}
