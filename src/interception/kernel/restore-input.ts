// SPDX-License-Identifier: Apache-2.0
import { appliesTo } from "../chain-order.ts";
import type { IpFamily } from "../options.ts";
import { iptablesChain, renderIptablesRestore, renderIptablesRule } from "../render-iptables.ts";
import { ownChains, type Rule, type RuleSet } from "../rules.ts";
import type { OwnTable } from "./own-rules.ts";

/*
 * Input of `iptables-restore --noflush` that turns what is ours of a family into something else. Each table changes in
 * one step, so that no packet meets a part of its rules; rules of others stay as they are.
 */

type Table = Rule["table"];

/** Replaces what is there by the rules of the set; the same text as in a dry run if nothing is there. */
export function renderReplacement(own: readonly OwnTable[], set: Pick<RuleSet, "rules">, family: IpFamily): string {
  if (own.length === 0) return renderIptablesRestore(set, family);
  return tableOrder(set)
    .map((table) => {
      const rules = set.rules.filter((rule) => rule.table === table && appliesTo(rule, family));
      return renderTable({
        name: table,
        from: own.find(({ name }) => name === table),
        chains: ownChains.filter((chain) => rules.some((rule) => rule.chain === chain)).map(iptablesChain),
        rules: rules.map(addRule),
      });
    })
    .join("");
}

/** Restores what was there before. @param before what is ours in each table then, in the positions of then */
export function renderReturn(own: readonly OwnTable[], before: readonly OwnTable[]): string {
  const names = new Set([...own, ...before].map(({ name }) => name));
  return [...names]
    .map((name) => {
      const to = before.find((table) => table.name === name);
      const rules = (to?.chains ?? []).flatMap((chain) => chain.rules.map((text) => `-A ${chain.name} ${text}`));
      const placed = (to?.rules ?? []).map(({ chain, position, text }) => `-I ${chain} ${String(position)} ${text}`);
      return renderTable({
        name,
        from: own.find((table) => table.name === name),
        chains: (to?.chains ?? []).map((chain) => chain.name),
        rules: [...rules, ...placed],
      });
    })
    .join("");
}

/** Inbound connections must not be free of capture while its rules move between tables: those that capture come first. */
function tableOrder({ rules }: Pick<RuleSet, "rules">): readonly Table[] {
  const usesTproxy = rules.some(({ action }) => action.kind === "tproxy");
  return usesTproxy ? ["mangle", "nat", "raw"] : ["nat", "raw", "mangle"];
}

interface Change {
  readonly name: string;
  readonly from: OwnTable | undefined;
  /** Those that are there are emptied. */
  readonly chains: readonly string[];
  readonly rules: readonly string[];
}

function renderTable({ name, from, chains, rules }: Change): string {
  const old = (from?.chains ?? []).map((chain) => chain.name).filter((chain) => !chains.includes(chain));
  if (from === undefined && rules.length === 0) return "";
  const lines = [
    `*${name}`,
    ...chains.map((chain) => `:${chain} - [0:0]`),
    ...(from?.rules ?? []).map(({ chain, text }) => `-D ${chain} ${text}`),
    ...old.map((chain) => `-F ${chain}`),
    ...rules,
    ...old.map((chain) => `-X ${chain}`),
    "COMMIT",
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function addRule(rule: Rule): string {
  const chain = iptablesChain(rule.chain);
  const where = rule.insertAt === undefined ? `-A ${chain}` : `-I ${chain} ${String(rule.insertAt)}`;
  return `${where} ${renderIptablesRule(rule)}`;
}
