// SPDX-License-Identifier: Apache-2.0
import type { BudgetSpec } from "../../lib/budget.ts";

type Size = BudgetSpec["size"];

export type BudgetTable = Readonly<Record<string, BudgetSpec>>;

export const kib = 1024;
export const mib = 1024 * kib;

/** The largest mesh that must work. docs/limits.md */
export const largestMesh = {
  services: 100_000,
  addresses: 500_000,
  resourceNames: 20_000,
  metricFamilies: 50_000,
  trustRoots: 200,
} as const;

/** Of the flight recorder, which begins before the budgets are created and ends after them. */
export const recorderSizes = { events: 500, problems: 20, eventBytes: 400, reports: 10 } as const;

/** Of the memory limit: the rest is for what is never rejected, and for what grows between two readings. */
export const memoryGuardShare = 5 / 6;
/** The rest need not be larger than the agent can grow: of a large limit, Envoy may use more than the share. */
export const memoryGuardRest = 48 * mib;
/** Of the heap's limit, in which the engine counts more than it can use for objects that stay. */
export const heapGuardShare = 7 / 10;

/** The same on every host. */
export function always(size: number): Size {
  return () => size;
}

/** A share of the container's memory limit. */
export function ofMemory(share: number, { least, most }: { readonly least: number; readonly most: number }): Size {
  return ({ memoryBytes }) => Math.max(least, Math.min(most, memoryBytes * share));
}

/** A share of the files and sockets that the process may open. */
export function ofFiles(share: number, { most }: { readonly most: number }): Size {
  return ({ openFiles }) => Math.min(most, openFiles * share);
}

/** What an agent and an idle Envoy leave of the smallest container. */
const idlePodBytes = 40 * mib;

/** A share of the container's memory limit without what an idle pod takes. */
export function ofSpareMemory(share: number, { least, most }: { readonly least: number; readonly most: number }): Size {
  return ({ memoryBytes }) => Math.max(least, Math.min(most, (memoryBytes - idlePodBytes) * share));
}

export function smallest(...sizes: readonly Size[]): Size {
  return (limits) => Math.min(...sizes.map((size) => size(limits)));
}
