// SPDX-License-Identifier: Apache-2.0
import type { BudgetSpec } from "../../lib/budget.ts";
import { type HostLimits, reservedFiles } from "../../lib/host-limits.ts";
import { mostFileBytes } from "../../lib/fs/bounded-read.ts";
import { mostExactJsonValues, mostJsonValues, mostLevels } from "../../lib/json.ts";
import { mostResourceFileValues, mostYamlValues } from "../../lib/yaml-size.ts";
import { limits } from "../limits.ts";
import { kib, largestMesh, mib } from "./sizes.ts";

/** Between them the sizes follow the memory limit and the open files; beyond them they stay as they are. */
const exampleHosts: Readonly<Record<string, HostLimits>> = {
  "64 MiB, 1,024 files": host(64, 1_024),
  "128 MiB, 4,096 files": host(128, 4_096),
  "1 GiB, 1,048,576 files": host(1_024, 1_048_576),
};

const rules: Readonly<Record<BudgetSpec["whenSpent"], string>> = {
  pause: "nothing more is read or begun until there is space",
  reject: "what does not fit is rejected or left out",
  "drop-oldest": "the oldest one gives way",
  close: "the connection is closed",
};

/** docs/limits.md, rendered from the table of budgets. */
export function renderLimitsPage(): string {
  const owners = [...new Set(Object.values<BudgetSpec>(limits).map(({ owner }) => owner))];
  const sections = owners.map((owner) => {
    const rows = Object.entries<BudgetSpec>(limits).filter(([, spec]) => spec.owner === owner);
    return `### ${owner}\n\n${table(head, rows.map(limitRow))}`;
  });
  return `${introduction}\n${sections.join("\n")}`;
}

const introduction = `# Limits

This page is generated from the program's own table (\`node scripts/limits-page.ts\`); a test fails when they differ.

Everything that a peer can make grow is counted against a budget. A budget that is spent never ends the agent: what
happens then is in the table. The first time is a line in the log, with the budget's name and size; after that there is at
most one line a minute, with a count, and one after a minute in which everything fitted. A response that is rejected names
the limit. [Metrics](metrics.md#budgets) and the status page show what is used, the peak, and how often it was spent.

Sizes follow from the memory limit of the container (cgroup version 2 or 1; without one, the machine's memory), and from
\`RLIMIT_NOFILE\`, of which ${String(reservedFiles)} files are reserved for the agent itself. They are read once, after Envoy's start.

## Memory

The heap of the agent's JavaScript engine may grow to three eighths of the memory limit, at least to 16 MB and at most to
48 MB: 24 MB with a limit of 64 MiB, 36 MB with 96 MiB, 48 MB from 128 MiB on and without a limit. The rest is for Envoy,
and for what the agent holds outside of the heap: name table, sockets, responses on their way. The launcher reads the
limit before the engine starts. \`--max-old-space-size\` in \`NODE_OPTIONS\` replaces it.

The sizes of the budgets together fit into what an idle pod leaves. Two budgets guard the whole: \`container-memory-bytes\`
is what agent, Envoy and their sockets use together without the cache of files, and \`heap-bytes\` what the engine's heap
uses. They are read when work for others arrives, at most every 100 ms, or every 10 ms above three quarters of their sizes.
While one is spent, only Envoy, callers on loopback and probes are served:

- Probes of readiness and of the application are served on few connections (\`status-probe-connections\`). Other requests of
  other machines to the status port get status 503 with the limit's name.
- New connections and streams on the SDS and XDS sockets are rejected unless Envoy's process made them, and connections of
  other processes are closed, idle ones first.
- The next version of a name table is rejected with the limit's name, and requested again when there is memory. The first
  one is applied.
- Unused memory is given back to the system.

## Configuration

JSON and YAML, from variables, annotations and files, may be nested ${String(mostLevels)} levels deep, as in protobuf's parsers. JSON
may have ${number(mostJsonValues)} names and values (${number(mostExactJsonValues)} if it has integers of 16 digits or more), YAML ${number(mostYamlValues)}, a file of resources ${number(mostResourceFileValues)}; a file may have ${number(mostFileBytes)} bytes.
More is a configuration error; node metadata that has more is left out with a warning.

## Largest mesh

${table(
  ["what", "how many"],
  [
    ["services in the name table", number(largestMesh.services)],
    ["addresses in the name table", number(largestMesh.addresses)],
    ["resource names in a subscription", number(largestMesh.resourceNames)],
    ["metric families in a scrape", number(largestMesh.metricFamilies)],
    ["roots in trust bundles", number(largestMesh.trustRoots)],
  ],
)}
## When a budget is spent

${table(["rule", "meaning"], Object.entries(rules))}
## Budgets

"of each" is what has such a budget of its own; without it, there is one budget for the process. "counts into" is the
budget of the process that all of them share.
`;

const head = ["budget", "of each", ...Object.keys(exampleHosts), "when spent", "meaning"];

function limitRow([name, spec]: [string, BudgetSpec]): readonly string[] {
  const { scope, whenSpent, meaning, within, windowMs, setting } = spec;
  const sizes = Object.values(exampleHosts).map((limits) => sizeText(spec, limits));
  const each = scope === "process" ? "" : scope;
  const notes = [
    ...(windowMs === undefined ? [] : [`In ${number(windowMs / 1_000)} s.`]),
    ...(within === undefined ? [] : [`Counts into \`${within}\`.`]),
    ...(setting === undefined ? [] : [`Set by \`${setting}\`.`]),
  ];
  return [`\`${name}\``, each, ...sizes, whenSpent, [meaning, ...notes].join(" ")];
}

function sizeText({ unit, size }: BudgetSpec, limits: HostLimits): string {
  const amount = Math.max(1, Math.floor(size(limits)));
  if (unit === "items") return number(amount);
  if (amount >= mib) return `${number(Math.round((amount / mib) * 10) / 10)} MiB`;
  return amount >= kib ? `${number(Math.round(amount / kib))} KiB` : `${number(amount)} bytes`;
}

function host(memoryMib: number, files: number): HostLimits {
  return {
    memoryBytes: memoryMib * mib,
    heapBytes: Math.min(48, (memoryMib * 3) / 8) * mib,
    openFiles: files - reservedFiles,
  };
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |\n`;
  return line(head) + line(head.map(() => "---")) + rows.map(line).join("");
}
