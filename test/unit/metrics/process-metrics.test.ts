// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { openSync, closeSync } from "node:fs";
import { expect, test } from "vitest";
import { processMetrics } from "../../../src/metrics/process-metrics.ts";

/** By name, without the common prefix. */
function values(): ReadonlyMap<string, number> {
  return new Map(
    processMetrics().flatMap((metric) =>
      metric.samples().map(({ value }) => [metric.name.replace("istio_agent_process_", ""), value] as const),
    ),
  );
}

test("process metrics have the values that the system reports", () => {
  const seen = values();
  const ulimit = (flag: string): string => execFileSync("sh", ["-c", `ulimit -S ${flag}`], { encoding: "utf8" }).trim();
  expect(seen.get("max_fds")).toBe(Number(ulimit("-n")));
  expect(seen.get("virtual_memory_max_bytes")).toBe(
    ulimit("-v") === "unlimited" ? 2 ** 64 : Number(ulimit("-v")) * 1_024,
  );
  expect(seen.get("resident_memory_bytes")).toBeGreaterThan(10_000_000);
  expect(seen.get("virtual_memory_bytes")).toBeGreaterThan(seen.get("resident_memory_bytes") ?? 0);
  expect(seen.get("start_time_seconds")).toBeCloseTo(Date.now() / 1_000 - process.uptime(), -1);
  expect(seen.get("cpu_seconds_total")).toBeGreaterThan(0);
  for (const name of ["receive", "transmit"]) expect(seen.get(`network_${name}_bytes_total`)).toBeGreaterThanOrEqual(0);
});

test("files that are opened are counted", () => {
  const before = values().get("open_fds") ?? 0;
  const descriptors = Array.from({ length: 50 }, () => openSync("/dev/null", "r"));
  const grown = (values().get("open_fds") ?? 0) - before;
  for (const descriptor of descriptors) closeSync(descriptor);
  // the process is not this test's alone
  expect(Math.abs(grown - 50)).toBeLessThan(25);
});
