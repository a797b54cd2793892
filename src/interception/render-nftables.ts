// SPDX-License-Identifier: Apache-2.0
import { assertNever } from "../lib/errors.ts";
import { type Chain, chainsOf } from "./chain-order.ts";
import type { Cidr, PortRange } from "./options.ts";
import type { Match, Owner, Rule, RuleSet, TableName } from "./rules.ts";

/** Hook and priority of the chains that the kernel calls. Source: Istio's native nftables backend */
const baseChains: Readonly<Record<TableName, Readonly<Record<"prerouting" | "output", string>>>> = {
  nat: { prerouting: "type nat hook prerouting priority -100", output: "type nat hook output priority -100" },
  mangle: {
    prerouting: "type filter hook prerouting priority -150",
    output: "type route hook output priority -150",
  },
  raw: { prerouting: "type filter hook prerouting priority -300", output: "type filter hook output priority -300" },
};

/** Our tables, of the family `inet`. They belong to us as a whole. */
export const nftablesTables: Readonly<Record<TableName, string>> = {
  nat: "istio-proxy-nat",
  mangle: "istio-proxy-mangle",
  raw: "istio-proxy-raw",
};
const tableNames: readonly TableName[] = ["nat", "mangle", "raw"];

/**
 * One transaction for `nft -f`: it replaces whatever our three tables have, and removes a table that has no rules any
 * more. A rule without an address is for both families.
 */
export function renderNftables(set: Pick<RuleSet, "rules">): string {
  return tableNames.map((table) => renderTable(table, chainsOf(set, table))).join("");
}

/** The transaction that removes everything of ours, whatever it is. */
export function renderNftablesRemoval(): string {
  return renderNftables({ rules: [] });
}

function renderTable(table: TableName, chains: readonly Chain[]): string {
  const name = `inet ${nftablesTables[table]}`;
  // a table that is absent cannot be deleted, and a flushed one keeps chains that are not needed any more
  const fresh = [`add table ${name}`, `delete table ${name}`];
  const lines = [
    ...fresh,
    ...(chains.length === 0 ? [] : [`add table ${name}`]),
    ...chains.map((chain) => `add chain ${name} ${chain.name}${hookOf(chain)}`),
    ...chains.flatMap((chain) =>
      chain.rules.map((rule) => `add rule ${name} ${chain.name} ${renderNftablesRule(rule)}`),
    ),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function hookOf({ table, name }: Chain): string {
  return name === "prerouting" || name === "output" ? ` { ${baseChains[table][name]} ; }` : "";
}

/** A rule without its table and chain: `tcp dport 15008 counter return`. */
export function renderNftablesRule(rule: Rule): string {
  return [...matchWords(rule.match, rule.table), ...actionWords(rule)].join(" ");
}

function matchWords(match: Match, table: TableName): readonly string[] {
  const { inInterface, outInterface, protocol, sourcePort, destinationPorts, states, owners = [] } = match;
  const ports = [
    ...(sourcePort === undefined ? [] : [protocol ?? "tcp", "sport", String(sourcePort)]),
    ...(destinationPorts === undefined
      ? []
      : [protocol ?? "tcp", "dport", ...unequal(destinationPorts.negated), portSet(destinationPorts.ranges)]),
  ];
  const addresses = addressWords(match);
  // the state of connection tracking is looked at for TCP only, as the reference does with nftables
  const namesProtocol = (protocol !== undefined || states !== undefined) && ports.length === 0;
  return [
    ...(inInterface === undefined ? [] : ["iifname", interfaceName(inInterface)]),
    ...(outInterface === undefined ? [] : ["oifname", interfaceName(outInterface)]),
    ...(namesProtocol ? ["meta", "l4proto", protocol ?? "tcp"] : []),
    ...(table === "raw" ? [] : addresses),
    ...(states === undefined ? [] : ["ct", "state", states.join(",")]),
    ...ports,
    ...(table === "raw" ? addresses : []),
    ...ownersWords(owners),
    ...(match.mark === undefined ? [] : ["meta", "mark", ...unequal(match.mark.negated), String(match.mark.value)]),
    ...(match.connectionMark === undefined ? [] : ["ct", "mark", String(match.connectionMark)]),
  ];
}

function addressWords({ source, destination }: Match): readonly string[] {
  return [
    ...(source === undefined ? [] : [ipWord(source), "saddr", source.text]),
    ...(destination === undefined
      ? []
      : [ipWord(destination), "daddr", ...unequal(destination.negated), destination.text]),
  ];
}

/** A rule of the kernel has room for about sixty comparisons: many are compared as a set. */
const mostSingleOwners = 16;

function ownersWords(owners: readonly Owner[]): readonly string[] {
  if (owners.length <= mostSingleOwners) return owners.flatMap(ownerWords);
  return (["uid", "gid"] as const).flatMap((kind) => {
    const ids = owners.filter((owner) => owner.kind === kind && owner.negated === true).map(({ id }) => String(id));
    return ids.length === 0 ? [] : ["meta", `sk${kind}`, "!=", `{ ${ids.join(", ")} }`];
  });
}

function ownerWords({ kind, id, negated }: Owner): readonly string[] {
  return ["meta", `sk${kind}`, ...unequal(negated), String(id)];
}

function ipWord({ family }: Cidr): "ip" | "ip6" {
  return family === "ipv4" ? "ip" : "ip6";
}

function interfaceName(name: string): string {
  return `"${name.endsWith("+") ? `${name.slice(0, -1)}*` : name}"`;
}

function portSet(ranges: readonly PortRange[]): string {
  const text = ranges.map(({ first, last }) => (first === last ? String(first) : `${String(first)}-${String(last)}`));
  return text.length === 1 ? text.join("") : `{ ${text.join(", ")} }`;
}

function unequal(negated: true | undefined): readonly string[] {
  return negated === true ? ["!="] : [];
}

function actionWords({ action, family }: Rule): readonly string[] {
  switch (action.kind) {
    case "accept":
    case "drop":
    case "return":
      return ["counter", action.kind];
    case "jump":
      return ["counter", "jump", action.chain];
    case "redirect":
      return ["counter", "redirect", "to", `:${String(action.port)}`];
    case "tproxy": {
      const to = [family === "ipv6" ? "ip6" : "ip", "to", `:${String(action.port)}`];
      return ["tproxy", ...to, "meta", "mark", "set", String(action.mark), "counter", "accept"];
    }
    case "set-mark":
      return ["counter", "meta", "mark", "set", String(action.mark)];
    case "save-mark":
      return ["counter", "ct", "mark", "set", "meta", "mark"];
    case "restore-mark":
      return ["counter", "meta", "mark", "set", "ct", "mark"];
    case "set-zone":
      return ["counter", "ct", "zone", "set", String(action.zone)];
    default:
      return assertNever(action);
  }
}
