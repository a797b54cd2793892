// SPDX-License-Identifier: Apache-2.0
import { appliesTo, chainsOf } from "../chain-order.ts";
import { selfCallMark } from "../../model/self-call-mark.ts";
import { type IpFamily, ipFamilies } from "../options.ts";
import { iptablesChain } from "../render-iptables.ts";
import type { Rule, RuleSet } from "../rules.ts";
import { readSavedRule, ruleKey } from "./read-saved-rule.ts";
import { isOwnChain, type SavedChain, type SavedTable, targetOf } from "./saved-rules.ts";

/** What is ours in a table of iptables. */
export interface OwnTable {
  readonly name: string;
  /** Our chains with whatever is in them. */
  readonly chains: readonly SavedChain[];
  /** Our rules in the chains of others, in the order of chains and positions. */
  readonly rules: readonly PlacedRule[];
}

export interface PlacedRule {
  readonly chain: string;
  /** In the chain, from 1 on. */
  readonly position: number;
  /** As `iptables-save` prints it, without `-A CHAIN`. */
  readonly text: string;
}

/** In the order in which a restore makes them. */
const tableNames = ["mangle", "nat", "raw"] as const;

/**
 * The tables that have something of ours: chains by their names; in other chains the rules that jump to them, rules that
 * the wanted set has too, and the rules without a jump that only this product and the reference make.
 * @param saved what `iptables-save` prints of the family
 */
export function findOwnTables(
  saved: readonly SavedTable[],
  wanted: Pick<RuleSet, "rules">,
  family: IpFamily,
): readonly OwnTable[] {
  const hasOwnChains = saved.some(({ chains }) => chains.some(({ name }) => isOwnChain(name)));
  const tables = saved.map((table): OwnTable => {
    const isKnown = knownRules(table, wanted, family, hasOwnChains);
    const rules = table.chains
      .filter(({ name }) => !isOwnChain(name))
      .flatMap(({ name: chain, rules: texts }) =>
        texts.flatMap((text, index): readonly PlacedRule[] =>
          isOwnChain(targetOf(text)) || isKnown(chain, text) ? [{ chain, position: index + 1, text }] : [],
        ),
      );
    return { name: table.name, chains: table.chains.filter(({ name }) => isOwnChain(name)), rules };
  });
  return tables.filter(({ chains, rules }) => chains.length > 0 || rules.length > 0);
}

/** Whether the kernel has exactly the rules of the set, in their order. Rules of others do not count. */
export function hasRulesOf(own: readonly OwnTable[], { rules }: Pick<RuleSet, "rules">, family: IpFamily): boolean {
  const found = own.flatMap((table) => [
    ...table.chains.map((chain) => chainText(table.name, chain.name, chain.rules, family)),
    ...Object.entries(Object.groupBy(table.rules, ({ chain }) => chain)).map(([chain, placed = []]) => {
      const texts = placed.map(({ text }) => text);
      return chainText(table.name, chain, texts, family);
    }),
  ]);
  const wanted = tableNames.flatMap((table) =>
    chainsOf({ rules }, table, family).map((chain) =>
      [table, iptablesChain(chain.name), ...chain.rules.map(ruleKey)].join("\n"),
    ),
  );
  return found.sort().join("\n\n") === wanted.sort().join("\n\n");
}

/** Whether exactly those tables of the set are there that are made first: all of IPv4, then all of IPv6. */
export function hasBeginOf(
  own: Readonly<Record<IpFamily, readonly OwnTable[]>>,
  { rules, families }: Pick<RuleSet, "rules" | "families">,
): boolean {
  const steps = families.flatMap((family) =>
    tableNames.flatMap((name) => {
      const wanted = rules.filter((rule) => rule.table === name && appliesTo(rule, family));
      const found = own[family].filter((table) => table.name === name);
      return wanted.length === 0 ? [] : hasRulesOf(found, { rules: wanted }, family);
    }),
  );
  const done = steps.findIndex((isDone) => !isDone);
  const tables = ipFamilies.reduce((sum, family) => sum + own[family].length, 0);
  return done > 0 && tables === done;
}

/** Whether a rule of the set is among ours, at any place of its chain. */
export function findRule(own: readonly OwnTable[], rule: Rule, family: IpFamily): boolean {
  const table = own.find(({ name }) => name === rule.table);
  const chain = iptablesChain(rule.chain);
  const texts = [
    ...(table?.chains.find(({ name }) => name === chain)?.rules ?? []),
    ...(table?.rules ?? []).filter((placed) => placed.chain === chain).map(({ text }) => text),
  ];
  return texts.some((text) => keyOf(text, family) === ruleKey(rule));
}

function keyOf(text: string, family: IpFamily): string {
  const rule = readSavedRule(text, family);
  return rule === undefined ? `? ${text}` : ruleKey(rule);
}

function chainText(table: string, chain: string, rules: readonly string[], family: IpFamily): string {
  return [table, chain, ...rules.map((text) => keyOf(text, family))].join("\n");
}

type Body = Pick<Rule, "match" | "action">;

/** Which rules without a jump to our chains are ours in a chain of others. */
function knownRules(
  table: SavedTable,
  wanted: Pick<RuleSet, "rules">,
  family: IpFamily,
  hasOwnChains: boolean,
): (chain: string, text: string) => boolean {
  const keys = new Set(
    wanted.rules
      .filter((rule) => rule.table === table.name && appliesTo(rule, family))
      .map((rule) => `${iptablesChain(rule.chain)} ${ruleKey(rule)}`),
  );
  const bodies = (chain: string): readonly (Body | undefined)[] =>
    (table.chains.find(({ name }) => name === chain)?.rules ?? []).map((text) => readSavedRule(text, family));
  const isRead = (body: Body | undefined): body is Body => body !== undefined;
  const [first, after] = [bodies("PREROUTING"), bodies("OUTPUT").filter(isRead)];
  const before = first.filter(isRead);
  const interfaces = hasOwnChains ? leftInterfaces(first, after) : new Set<string>();
  const marks = sharedMarks(before, after);
  return (chain, text) => {
    const body = readSavedRule(text, family);
    if (body === undefined) return false;
    if (keys.has(`${chain} ${ruleKey(body)}`)) return true;
    const { inInterface, outInterface } = body.match;
    const name = chain === "PREROUTING" ? inInterface : chain === "OUTPUT" ? outInterface : undefined;
    return (name !== undefined && interfaces.has(name) && leavesInterface(body)) || isMarkRule(body, marks);
  };
}

/** `-i eth1 -j RETURN` and `-o eth1 -j RETURN`: nothing else. */
function leavesInterface({ match, action }: Body): boolean {
  return action.kind === "return" && Object.keys(match).length === 1;
}

/**
 * Interfaces that are excluded, which have a rule in both directions, and those of virtual machines, whose rules are the
 * first of all. Another rule that leaves an interface alone may be somebody else's, and stays.
 */
function leftInterfaces(before: readonly (Body | undefined)[], after: readonly Body[]): ReadonlySet<string> {
  const paired = new Set(after.filter(leavesInterface).map(({ match }) => match.outInterface));
  const end = before.findIndex((body) => body === undefined || !(leavesInterface(body) || isVirtualRedirect(body)));
  return new Set(
    before.flatMap((body, index) => {
      const name = body !== undefined && leavesInterface(body) ? body.match.inInterface : undefined;
      return name !== undefined && (paired.has(name) || end < 0 || index < end) ? [name] : [];
    }),
  );
}

function isVirtualRedirect({ match, action }: Body): boolean {
  return action.kind === "jump" && match.inInterface !== undefined && match.protocol === undefined;
}

/** Marks that are saved to connections in one direction and restored in the other: TPROXY mode, of which options ever. */
function sharedMarks(before: readonly Body[], after: readonly Body[]): ReadonlySet<number> {
  const restored = new Set(after.filter(({ action }) => action.kind === "restore-mark").map(connectionMarkOf));
  const saved = before
    .filter(({ action }) => action.kind === "save-mark")
    .flatMap(({ match }) => match.mark?.value ?? []);
  return new Set(saved.filter((mark) => restored.has(mark)));
}

function connectionMarkOf({ match }: Body): number | undefined {
  return match.connectionMark;
}

function isMarkRule({ match, action }: Body, marks: ReadonlySet<number>): boolean {
  if (match.protocol !== "tcp") return false;
  const mark = match.mark?.value ?? match.connectionMark;
  const isShared = mark !== undefined && marks.has(mark);
  switch (action.kind) {
    case "save-mark":
    case "restore-mark":
      return isShared;
    case "return":
      return isShared && match.outInterface === "lo";
    case "set-mark":
      return action.mark === selfCallMark && match.outInterface === "lo" && match.owners !== undefined;
    default:
      return false;
  }
}
