// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { type Limit, parseLimits } from "../lib/process-limits.ts";
import { computed, type ComputedMetric } from "./computed-metrics.ts";

/** What Go's Prometheus client shows for a limit that is not set: the largest number of 64 bits. */
const unlimited = 2 ** 64;

/**
 * The resources that the process uses; what the system does not report has no series. Not the metrics that prom-client
 * brings: names and meaning of these are those of Go's client, which pilot-agent exposes.
 * Source: Prometheus' conventions for process metrics; proc(5)
 */
export function processMetrics(): readonly ComputedMetric[] {
  return [
    metric("counter", "cpu_seconds_total", "Processor time that the agent has used, in seconds.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
    metric("gauge", "open_fds", "Files and sockets that the agent has open.", () => {
      return readdirSync("/proc/self/fd").length;
    }),
    metric("gauge", "max_fds", "Files and sockets that the agent may have open.", () => softLimit("openFiles")),
    metric("gauge", "resident_memory_bytes", "Memory of the agent that is resident.", () => process.memoryUsage.rss()),
    metric("gauge", "virtual_memory_bytes", "Address space that the agent has reserved.", virtualBytes),
    metric("gauge", "virtual_memory_max_bytes", "Address space that the agent may reserve.", () => {
      return softLimit("addressSpaceBytes");
    }),
    metric("gauge", "start_time_seconds", "When the agent was started, in seconds since 1970.", () => {
      return performance.timeOrigin / 1_000;
    }),
    metric("counter", "network_receive_bytes_total", "Bytes that the pod's network received.", () => {
      return networkBytes("InOctets");
    }),
    metric("counter", "network_transmit_bytes_total", "Bytes that the pod's network sent.", () => {
      return networkBytes("OutOctets");
    }),
  ];
}

function metric(
  kind: ComputedMetric["kind"],
  name: string,
  help: string,
  read: () => number | undefined,
): ComputedMetric {
  return computed(kind, { name: `istio_agent_process_${name}`, help }, () => {
    try {
      const value = read();
      return value !== undefined && Number.isFinite(value) ? value : undefined;
    } catch {
      return undefined;
    }
  });
}

function softLimit(name: "openFiles" | "addressSpaceBytes"): number {
  const limit: Limit = parseLimits(readFileSync("/proc/self/limits", "utf8"))[name];
  return limit.soft ?? unlimited;
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
