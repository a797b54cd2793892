// SPDX-License-Identifier: Apache-2.0
import type { FlagSpecs } from "../lib/flags.ts";
import { proxyFlags } from "./sources/flags.ts";
import type { VariableSpec } from "./sources/variable-spec.ts";
import { variablePrefixes, variables } from "./sources/variables.ts";

const sourceNames: Readonly<Record<VariableSpec["source"], string>> = {
  istio: "Istio's, with Istio's meaning",
  kubernetes: "Kubernetes'",
  attache: "attache's own",
  go: "those of the Go runtime, which the reference obeys",
  cloud: "those of clouds",
  vault: "Vault's",
  spiffe: "SPIFFE's",
};

/** docs/configuration.md, made from the tables that the program reads its settings by. */
export function renderConfigurationPage(): string {
  const sections = Object.entries(sourceNames).map(([source, name]) => {
    const rows = Object.entries<VariableSpec>(variables).filter(([, spec]) => spec.source === source);
    return `### Variables: ${name}\n\n${variableTable(rows)}`;
  });
  return `${introduction}
## Flags of \`attache proxy\`

${flagTable(proxyFlags)}
## Variables

Set but empty is a value for a text; for every other type it is a mistake. A text that cannot be read is told in a
warning that names the variable, and the default is used. A wrong type in \`ISTIO_META_*\` ends the start.

${sections.join("\n")}
### Variables: groups

${table(
  ["beginning", "meaning"],
  variablePrefixes.map(({ prefix, meaning }) => [`\`${prefix}\``, meaning]),
)}`;
}

const introduction = `# Configuration

This page is made from the program's own tables (\`node scripts/configuration-page.ts\`); a test fails when the two differ.
\`attache explain\` shows every setting as it is in force, with the place it comes from.

Settings come from, lowest to highest: built-in defaults; \`defaultConfig\` of the mesh file (\`--meshConfig\`); the variable
\`PROXY_CONFIG\`; the pod's annotation \`proxy.istio.io/config\`; flags. A field of ProxyConfig replaces the one below as a
whole; only \`proxyMetadata\` is merged key by key. What is wrong is told all at once, each under its source, and the
program ends with code 64. Durations are in Go's notation: \`300ms\`, \`1h30m\`.
`;

function variableTable(rows: readonly (readonly [string, VariableSpec])[]): string {
  const cells = rows.map(([name, spec]) => [
    `\`${name}\``,
    spec.type,
    spec.default === "" ? "" : `\`${spec.default}\``,
    spec.unit,
    spec.dead === true ? `${spec.meaning}; without effect` : spec.meaning,
  ]);
  return table(["name", "type", "default", "unit", "meaning"], cells);
}

function flagTable(flags: FlagSpecs): string {
  const cells = Object.entries(flags).map(([name, { type, default: fallback, meaning }]) => [
    `\`--${name}\``,
    type === "strings" ? "string, repeatable" : type,
    fallback === "" ? "" : `\`${fallback}\``,
    meaning,
  ]);
  return table(["name", "type", "default", "meaning"], cells);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
  return line(head) + line(head.map(() => "---")) + rows.map(line).join("");
}
