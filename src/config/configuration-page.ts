// SPDX-License-Identifier: Apache-2.0
import type { FlagSpecs } from "../lib/flags.ts";
import { type InterceptionSetting, interceptionSettings, interceptionVariables } from "./interception/settings.ts";
import { proxyFlags } from "./sources/flags.ts";
import type { VariableSpec } from "./sources/variable-spec.ts";
import { variablePrefixes, variables } from "./sources/variables.ts";

const sourceNames: Readonly<Record<VariableSpec["source"], string>> = {
  istio: "Istio's, with Istio's meaning",
  kubernetes: "Kubernetes'",
  attache: "attache's own",
  go: "the Go runtime's, which pilot-agent uses",
  cloud: "those of cloud platforms",
  vault: "Vault's",
  spiffe: "SPIFFE's",
};

/** docs/configuration.md, rendered from the tables of flags and variables. */
export function renderConfigurationPage(): string {
  const sections = Object.entries(sourceNames).map(([source, name]) => {
    const rows = Object.entries<VariableSpec>(variables).filter(([, spec]) => spec.source === source);
    return `### Variables: ${name}\n\n${variableTable(rows)}`;
  });
  return `${introduction}
## Flags of \`attache proxy\`

${flagTable(proxyFlags)}
## Variables

An empty string is a value for type string, and invalid for every other type. An invalid value is reported in a warning
that names the variable, and the default is used. A wrong type in \`ISTIO_META_*\` is an error, and the agent exits.

${sections.join("\n")}
### Variables: groups

${table(
  ["prefix", "meaning"],
  variablePrefixes.map(({ prefix, meaning }) => [`\`${prefix}\``, meaning]),
)}
## Flags of \`attache istio-iptables\`

[interception.md](interception.md) describes the command. A flag that is not given has the value of the first of its
variables that is set and not empty. An invalid value is an error, of a variable too.

${interceptionTable()}
These have no flag:

${table(
  ["variable", "default", "meaning"],
  Object.entries(interceptionVariables).map(([name, { default: fallback, meaning }]) => [
    `\`${name}\``,
    fallback === "" ? "" : `\`${fallback}\``,
    meaning,
  ]),
)}`;
}

function interceptionTable(): string {
  const cells = Object.entries<InterceptionSetting>(interceptionSettings).map(([name, setting]) => [
    `\`--${name}\`${setting.short === undefined ? "" : `, \`-${setting.short}\``}`,
    setting.variables.map((variable) => `\`${variable}\``).join(", "),
    setting.type,
    setting.default === "" ? "" : `\`${setting.default}\``,
    setting.meaning,
  ]);
  return table(["flag", "variables", "type", "default", "meaning"], cells);
}

const introduction = `# Configuration

This page is generated from the program's own tables (\`node scripts/configuration-page.ts\`); a test fails when they
differ. \`attache explain\` prints every effective setting and its source.

Sources, lowest precedence first: built-in defaults; \`defaultConfig\` of the mesh file (\`--meshConfig\`); the variable
\`PROXY_CONFIG\`; the pod annotation \`proxy.istio.io/config\`; flags. A field of ProxyConfig replaces the lower one as a
whole; only \`proxyMetadata\` is merged key by key. All problems are reported together, each with its source, and the
agent exits with code 64. Durations use Go's notation: \`300ms\`, \`1h30m\`.
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
