// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { targetUp } from "../../../src/metrics/registry.ts";
import { createTestMetrics } from "../../support/agent-metrics.ts";

test("docs/metrics.md has each metric of the agent with its kind, labels and meaning, and no other", () => {
  const rows = [...createTestMetrics().exposed, { ...targetUp, kind: "gauge" as const }].map((metric) => {
    const labels = metric.kind === "histogram" ? [] : metric.labelNames;
    return `| \`${metric.name}\` | ${metric.kind} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${metric.help} |`;
  });
  expect(readFileSync("docs/metrics.md", "utf8").match(/^\| `(?:istio_agent|attache)_.*\|$/gm)).toEqual(rows);
});
