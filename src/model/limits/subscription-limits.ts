// SPDX-License-Identifier: Apache-2.0
import { always, type BudgetTable, kib, largestMesh, mib, ofSpareMemory } from "./sizes.ts";

/** What clients of the XDS socket subscribe to, and what they reject. */
export const subscriptionLimits = {
  "xds-types": {
    owner: "xds",
    unit: "items",
    scope: "stream",
    size: always(64),
    whenSpent: "reject",
    meaning: "Resource types of one stream.",
  },
  "xds-names": {
    owner: "xds",
    unit: "items",
    scope: "type",
    size: always(2 * largestMesh.resourceNames),
    whenSpent: "reject",
    meaning: "Resource names in one stream's subscription to a type.",
  },
  "xds-name-bytes": {
    owner: "xds",
    unit: "bytes",
    scope: "single item",
    size: always(8 * kib),
    whenSpent: "reject",
    meaning: "One resource name.",
  },
  "xds-names-bytes": {
    owner: "xds",
    unit: "bytes",
    scope: "process",
    size: ofSpareMemory(1 / 6, { least: 4 * mib, most: 16 * mib }),
    whenSpent: "reject",
    meaning:
      "Resource names and versions of all subscriptions, and of responses that are neither accepted nor rejected.",
  },
  "xds-names-bytes-of-others": {
    owner: "xds",
    unit: "bytes",
    scope: "process",
    size: ofSpareMemory(1 / 12, { least: 2 * mib, most: 8 * mib }),
    whenSpent: "reject",
    within: "xds-names-bytes",
    meaning: "The part of it that streams of other programs than Envoy take together.",
  },
  "xds-names-bytes-of-stream": {
    owner: "xds",
    unit: "bytes",
    scope: "stream",
    size: ofSpareMemory(1 / 16, { least: 1.5 * mib, most: 6 * mib }),
    whenSpent: "reject",
    within: "xds-names-bytes-of-others",
    meaning: "The part of it that one such stream takes.",
  },
  "xds-text-bytes": {
    owner: "xds",
    unit: "bytes",
    scope: "single item",
    size: always(64 * kib),
    whenSpent: "reject",
    meaning: "Text of a response's or request's fields that is looked at, such as an error message.",
  },
  "xds-rejections-of-stream": {
    owner: "xds",
    unit: "items",
    scope: "stream",
    size: always(30),
    whenSpent: "pause",
    meaning:
      "NACKs of a client in a minute. Each further one waits a second: a control plane may respond with the same again.",
    windowMs: 60_000,
  },
  "xds-sent-responses": {
    owner: "xds",
    unit: "items",
    scope: "stream",
    size: always(1_000),
    whenSpent: "drop-oldest",
    meaning: "Responses of one stream that are neither accepted nor rejected.",
  },
  "xds-rejections": {
    owner: "xds",
    unit: "items",
    scope: "process",
    size: always(64),
    whenSpent: "drop-oldest",
    meaning: "Rejected types whose last reason the status page shows.",
  },
  "xds-rejected-names": {
    owner: "xds",
    unit: "items",
    scope: "type",
    size: always(100),
    whenSpent: "drop-oldest",
    meaning: "Names of rejected resources that are kept for a type.",
  },
} as const satisfies BudgetTable;
