// SPDX-License-Identifier: Apache-2.0
import { assertNever } from "../lib/errors.ts";
import { appliesTo } from "./chain-order.ts";
import type { IpFamily, PortRange } from "./options.ts";
import { type Action, type Match, type Owner, type Rule, type RuleSet, type TableName, ownChains } from "./rules.ts";

const tableNames: readonly TableName[] = ["mangle", "nat", "raw"];

/**
 * The rules of one family as input of `iptables-restore --noflush` or `ip6tables-restore --noflush`: for each table the
 * new chains, then the rules in the order of the set. Empty if the family has no rules.
 */
export function renderIptablesRestore({ rules }: Pick<RuleSet, "rules">, family: IpFamily): string {
  const ofFamily = rules.filter((rule) => appliesTo(rule, family));
  return tableNames
    .map((table) =>
      renderTable(
        table,
        ofFamily.filter((rule) => rule.table === table),
      ),
    )
    .join("");
}

/** A chain's name for iptables: `ISTIO_INBOUND`, `PREROUTING`. */
export function iptablesChain(chain: Rule["chain"]): string {
  return chain.toUpperCase().replaceAll("-", "_");
}

/**
 * A rule without its chain: `-p tcp --dport 15008 -j RETURN`, to be put behind `-A CHAIN`, `-C CHAIN` or `-D CHAIN`. The
 * conditions stand in the order of the rule's own, so that the text is that of the reference.
 */
export function renderIptablesRule({ match, action }: Pick<Rule, "match" | "action">): string {
  return [...matchWords(match), ...actionWords(action, match)].join(" ");
}

function renderTable(table: TableName, rules: readonly Rule[]): string {
  if (rules.length === 0) return "";
  const own = new Set<string>(ownChains);
  const chains = new Set(rules.map(({ chain }) => chain).filter((chain) => own.has(chain)));
  const lines = [
    `* ${table}`,
    ...[...chains].map((chain) => `-N ${iptablesChain(chain)}`),
    ...rules.map((rule) => {
      const chain = iptablesChain(rule.chain);
      const where = rule.insertAt === undefined ? `-A ${chain}` : `-I ${chain} ${String(rule.insertAt)}`;
      return `${where} ${renderIptablesRule(rule)}`;
    }),
    "COMMIT",
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function matchWords(match: Match): readonly string[] {
  const { source, destination, inInterface, outInterface, protocol, sourcePort, destinationPorts: ports } = match;
  const words: Readonly<Record<keyof Match, readonly string[]>> = {
    source: source === undefined ? [] : ["-s", source.text],
    destination: destination === undefined ? [] : [...unless(destination.negated), "-d", destination.text],
    inInterface: inInterface === undefined ? [] : ["-i", inInterface],
    outInterface: outInterface === undefined ? [] : ["-o", outInterface],
    protocol: protocol === undefined ? [] : ["-p", protocol],
    sourcePort: sourcePort === undefined ? [] : ["--sport", String(sourcePort)],
    destinationPorts: ports === undefined ? [] : portWords(ports.ranges, ports.negated),
    states:
      match.states === undefined
        ? []
        : ["-m", "conntrack", "--ctstate", match.states.map((state) => state.toUpperCase()).join(",")],
    mark:
      match.mark === undefined ? [] : ["-m", "mark", ...unless(match.mark.negated), "--mark", String(match.mark.value)],
    connectionMark:
      match.connectionMark === undefined ? [] : ["-m", "connmark", "--mark", String(match.connectionMark)],
    owners: (match.owners ?? []).flatMap(ownerWords),
  };
  const all = new Map(Object.entries(words));
  return Object.keys(match).flatMap((name) => all.get(name) ?? []);
}

function portWords(ranges: readonly PortRange[], negated: true | undefined): readonly string[] {
  const text = ranges.map(({ first, last }) => (first === last ? String(first) : `${String(first)}:${String(last)}`));
  if (text.length === 1) return [...unless(negated), "--dport", ...text];
  return ["-m", "multiport", ...unless(negated), "--dports", text.join(",")];
}

function ownerWords({ kind, id, negated }: Owner): readonly string[] {
  return ["-m", "owner", ...unless(negated), `--${kind}-owner`, String(id)];
}

function unless(negated: true | undefined): readonly string[] {
  return negated === true ? ["!"] : [];
}

function actionWords(action: Action, { protocol }: Match): readonly string[] {
  switch (action.kind) {
    case "accept":
    case "drop":
    case "return":
      return ["-j", action.kind.toUpperCase()];
    case "jump":
      return ["-j", iptablesChain(action.chain)];
    case "redirect":
      // both spellings are the reference's
      return ["-j", "REDIRECT", protocol === "udp" ? "--to-port" : "--to-ports", String(action.port)];
    case "tproxy":
      return ["-j", "TPROXY", "--tproxy-mark", `${String(action.mark)}/0xffffffff`, "--on-port", String(action.port)];
    case "set-mark":
      return ["-j", "MARK", "--set-mark", String(action.mark)];
    case "save-mark":
    case "restore-mark":
      return ["-j", "CONNMARK", `--${action.kind}`];
    case "set-zone":
      return ["-j", "CT", "--zone", String(action.zone)];
    default:
      return assertNever(action);
  }
}
