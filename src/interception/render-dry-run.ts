// SPDX-License-Identifier: Apache-2.0
import type { Backend, IpFamily } from "./options.ts";
import { renderIptablesRestore } from "./render-iptables.ts";
import { renderNftables, renderNftablesRemoval } from "./render-nftables.ts";
import type { RuleSet } from "./rules.ts";

const programs: Readonly<Record<IpFamily, string>> = { ipv4: "iptables", ipv6: "ip6tables" };

/** What a dry run is about. */
export interface DryRun {
  readonly backend: Backend["kind"];
  readonly set: RuleSet;
  /** Only removes. */
  readonly cleanupOnly: boolean;
}

/**
 * The commands in the order of their execution, one a line, each followed by its input.
 * Source: the file that Istio's `istio-iptables` writes with DRY_RUN_FILE_PATH
 */
export function renderDryRunFile({ backend, set, cleanupOnly }: DryRun): string {
  if (backend === "nftables") return `nft -f -\n${cleanupOnly ? renderNftablesRemoval() : renderNftables(set)}`;
  const before = "iptables-save\nip6tables-save\n";
  if (cleanupOnly) return before;
  const after = set.families.map((family) => `${programs[family]}-save\n`);
  return [before, ...set.families.map((family) => renderIptablesRestore(set, family)), ...after].join("");
}

/** The same for a reader: rules, routes and addresses; what is no input of a program is a comment. */
export function renderDryRun({ backend, set, cleanupOnly }: DryRun): string {
  if (cleanupOnly) return backend === "nftables" ? `# nft -f -\n${renderNftablesRemoval()}` : comments(iptablesRemoval);
  const rules =
    backend === "nftables"
      ? `# nft -f -\n${renderNftables(set)}`
      : set.families
          .map((family) => `# ${programs[family]}-restore --noflush\n${renderIptablesRestore(set, family)}`)
          .join("");
  return `${rules}${comments(ipCommands(set))}`;
}

const iptablesRemoval = [
  "every chain whose name starts with ISTIO_, in each table of iptables and ip6tables, and the rules that jump to it",
  "the rules, policy rules, routes and addresses that belong to such chains",
];

/** The policy routes and addresses as commands of `ip`. */
function ipCommands({ routes, loopbackAddresses }: RuleSet): readonly string[] {
  return [
    ...routes.flatMap(({ family, mark, table }) => {
      const ip = family === "ipv4" ? "ip -4" : "ip -6";
      return [
        `${ip} rule add fwmark ${String(mark)} lookup ${String(table)}`,
        `${ip} route add local default dev lo table ${String(table)}`,
      ];
    }),
    ...loopbackAddresses.map((address) => `ip -6 addr add ${address} dev lo`),
  ];
}

function comments(lines: readonly string[]): string {
  return lines.map((line) => `# ${line}\n`).join("");
}
