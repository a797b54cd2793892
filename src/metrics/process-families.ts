// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import type { MetricFamily } from "./metric-family.ts";
import { type MetricName, metricNames as names } from "./names.ts";

/** Of a limit that there is not: what Go's client of Prometheus shows, the largest number of 64 bits. */
const unlimited = 2 ** 64;

/**
 * What the process uses, as the system tells it when it is asked; what the system does not tell is left out.
 * Source: Prometheus' conventions for process metrics; proc(5)
 */
export function processFamilies(): readonly MetricFamily[] {
  return [
    family("counter", names.processCpu, () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
    family("gauge", names.processOpenFiles, () => readdirSync("/proc/self/fd").length),
    family("gauge", names.processMostFiles, () => softLimit("Max open files")),
    family("gauge", names.processResident, () => process.memoryUsage.rss()),
    family("gauge", names.processVirtual, virtualBytes),
    family("gauge", names.processMostVirtual, () => softLimit("Max address space")),
    family("gauge", names.processStart, () => performance.timeOrigin / 1_000),
    family("counter", names.processReceived, () => networkBytes("InOctets")),
    family("counter", names.processSent, () => networkBytes("OutOctets")),
  ];
}

function family(kind: "counter" | "gauge", name: MetricName, read: () => number | undefined): MetricFamily {
  const samples = () => {
    const value = readOrNothing(read);
    return value === undefined || !Number.isFinite(value) ? [] : [{ labels: [], value }];
  };
  return { ...name, kind, measure: { labelNames: [], samples } };
}

function readOrNothing(read: () => number | undefined): number | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function softLimit(name: string): number | undefined {
  const line = readFileSync("/proc/self/limits", "utf8")
    .split("\n")
    .find((one) => one.startsWith(name));
  const soft = line?.slice(name.length).trim().split(/\s+/)[0];
  return soft === "unlimited" ? unlimited : soft === undefined ? undefined : Number(soft);
}

/** The twenty-third field; the second one, in brackets, may hold spaces. */
function virtualBytes(): number {
  const stat = readFileSync("/proc/self/stat", "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[20]);
}

/** Of the pod's network, of which the process is a part. */
function networkBytes(name: "InOctets" | "OutOctets"): number | undefined {
  const lines = readFileSync("/proc/self/net/netstat", "utf8").split("\n");
  const [titles, values] = lines.filter((line) => line.startsWith("IpExt:")).map((line) => line.split(" "));
  const value = values?.[titles?.indexOf(name) ?? -1];
  return value === undefined ? undefined : Number(value);
}
