// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createAgentMetrics } from "../../../src/metrics/index.ts";
import { metricNames } from "../../../src/metrics/names.ts";

const noStarts = { restarts: 0, swaps: 0, refusedSwaps: 0 };

test("docs/metrics.md has each family of the agent with its kind, labels and meaning, and no other", () => {
  const options = { version: "", now: () => 0, certificates: () => [], ready: () => true, envoyStarts: () => noStarts };
  const rows = createAgentMetrics(options).families.map((family) => {
    const labels = family.kind === "histogram" ? [] : family.measure.labelNames;
    return `| \`${family.name}\` | ${family.kind} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${family.help} |`;
  });
  const { name, help } = metricNames.targetUp;
  rows.push(`| \`${name}\` | gauge | \`target\` | ${help} |`);
  const listed = readFileSync("docs/metrics.md", "utf8").match(/^\| `istio_agent_.*\|$/gm);
  expect(listed).toEqual(rows);
});

test("every name is exposed", () => {
  const page = readFileSync("docs/metrics.md", "utf8");
  for (const { name } of Object.values(metricNames)) expect(page).toContain(`\`${name}\``);
});
