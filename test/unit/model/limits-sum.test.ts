// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { BudgetSpec } from "../../../src/lib/budget.ts";
import type { HostLimits } from "../../../src/lib/host-limits.ts";
import { type BudgetName, limits } from "../../../src/model/limits.ts";

const [kib, mib] = [1_024, 2 ** 20];

/** What an agent and an idle Envoy need. Observed in a control group of 64 MiB: 40.5 MiB. */
const idleBytes = 40 * mib;

/** What is not in the container's memory: on disk, or the guard's own limits, which are no memory of their own. */
const notInMemory: readonly BudgetName[] = [
  "xds-cache-bytes",
  "wasm-disk-bytes",
  "container-memory-bytes",
  "heap-bytes",
];

/** Memory of one item beside its bytes: objects of the engine, and the kernel's buffers of a socket that is not read. */
const itemBytes: Partial<Record<BudgetName, number>> = {
  "status-connections": 24 * kib,
  "dns-connections": 16 * kib,
  "dns-sockets": 4 * kib,
  "sds-connections": 32 * kib,
  "xds-connections": 32 * kib,
  "sds-streams": 16 * kib,
  "xds-streams": 16 * kib,
  "xds-proxied-streams": 128 * kib,
  probes: 16 * kib,
  "status-requests-waiting": 4 * kib,
  "probes-waiting": 2 * kib,
  "dns-queries": 2 * kib,
};

/** Bytes of a connection that count into no budget of the process, and how many such connections there are. */
const ofConnections: readonly (readonly [bytes: BudgetName, connections: BudgetName])[] = [
  ["socket-window-bytes", "sds-connections"],
  ["socket-window-bytes", "xds-connections"],
  ["xds-window-bytes", "xds-proxied-streams"],
];

function host(memoryMib: number, files: number): HostLimits {
  const heapBytes = Math.min(48, (memoryMib * 3) / 8) * mib;
  return { memoryBytes: memoryMib * mib, heapBytes, openFiles: files - 64 };
}

/** All budgets of the process at their peaks, the name table apart: it is the control plane's, and it takes turns with the rest. */
function mostBytes(of: HostLimits): number {
  const sizeOf = (name: BudgetName): number => Math.floor(limits[name].size(of));
  let sum = 0;
  for (const [name, spec] of Object.entries<BudgetSpec>(limits) as [BudgetName, BudgetSpec][]) {
    if (spec.scope !== "process" || notInMemory.includes(name) || name === "nds-table-bytes") continue;
    // a part of another one
    if (spec.within !== undefined) continue;
    sum += spec.unit === "bytes" ? sizeOf(name) : sizeOf(name) * (itemBytes[name] ?? 0);
  }
  // the bytes of a request are no longer partial when its names are kept
  sum -= Math.min(sizeOf("xds-partial-bytes"), sizeOf("xds-names-bytes"));
  for (const [bytes, connections] of ofConnections) sum += sizeOf(bytes) * sizeOf(connections);
  return sum;
}

test.each([
  [64, 1_024],
  [128, 4_096],
  [1_024, 1_048_576],
])("with %d MiB, the budgets at their peaks fit into what an idle pod leaves", (memoryMib, files) => {
  const of = host(memoryMib, files);
  expect(mostBytes(of) / mib).toBeLessThanOrEqual((of.memoryBytes - idleBytes) / mib);
});

test.each([64, 128, 1_024])("with %d MiB, so does the name table with the rest of its limit free", (memoryMib) => {
  const of = host(memoryMib, 1_024);
  expect(limits["nds-table-bytes"].size(of)).toBeLessThanOrEqual((of.memoryBytes - idleBytes) / 2);
});

test.each([64, 128, 1_024])("with %d MiB, work for others ends before the container's memory does", (memoryMib) => {
  const of = host(memoryMib, 1_024);
  const guard = limits["container-memory-bytes"].size(of);
  expect(of.memoryBytes - guard).toBeGreaterThanOrEqual(Math.min(0.1 * of.memoryBytes, 48 * mib));
  expect(guard).toBeGreaterThan(idleBytes + 10 * mib);
});
