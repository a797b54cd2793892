// SPDX-License-Identifier: Apache-2.0
import { always, type BudgetTable, mib, ofMemory } from "./sizes.ts";

/** What callers of the debug endpoints can make grow. */
export const debugLimits = {
  "debug-profiles": {
    owner: "status",
    unit: "items",
    scope: "process",
    size: always(1),
    whenSpent: "reject",
    meaning: "Profiles and heap snapshots that are being made.",
  },
  "debug-output-bytes": {
    owner: "status",
    unit: "bytes",
    scope: "request",
    size: ofMemory(1 / 32, { least: 2 * mib, most: 16 * mib }),
    whenSpent: "reject",
    meaning: "Response of one debug page.",
  },
  "envoy-pages": {
    owner: "status",
    unit: "items",
    scope: "process",
    size: always(4),
    whenSpent: "reject",
    meaning: "Pages of Envoy's admin interface that are being passed on under `/debug/envoy/`.",
  },
  "envoy-page-bytes": {
    owner: "status",
    unit: "bytes",
    scope: "request",
    size: always(1024 * mib),
    whenSpent: "close",
    meaning: "One page of Envoy's admin interface that is passed on; none of it is kept.",
  },
  "log-level-overrides": {
    owner: "status",
    unit: "items",
    scope: "process",
    size: always(16),
    whenSpent: "reject",
    meaning: "Log levels that /debug/logging has changed.",
  },
  "envoy-log-level-overrides": {
    owner: "status",
    unit: "items",
    scope: "process",
    size: always(1024),
    whenSpent: "reject",
    meaning: "Envoy's loggers whose levels /debug/logging has changed.",
  },
} as const satisfies BudgetTable;
