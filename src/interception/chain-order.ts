// SPDX-License-Identifier: Apache-2.0
import type { IpFamily } from "./options.ts";
import { type Rule, type RuleSet, type TableName, ownChains } from "./rules.ts";

/** One chain of a table with its rules in the order in which the kernel reads them. */
export interface Chain {
  readonly table: TableName;
  readonly name: Rule["chain"];
  readonly rules: readonly Rule[];
}

const chainNames: readonly Rule["chain"][] = ["prerouting", "output", ...ownChains];

/**
 * The chains of a table that have rules, built-in ones first; insert positions are resolved. Rules of others in a
 * built-in chain stand after the inserted rules and before the added ones.
 * @param family only what this family has; undefined for the chains of both together, as nftables has them
 */
export function chainsOf({ rules }: Pick<RuleSet, "rules">, table: TableName, family?: IpFamily): readonly Chain[] {
  const byName = new Map<Rule["chain"], Rule[]>();
  for (const one of rules) {
    if (one.table !== table || !appliesTo(one, family)) continue;
    const chain = byName.get(one.chain) ?? [];
    byName.set(one.chain, chain);
    chain.splice((one.insertAt ?? chain.length + 1) - 1, 0, one);
  }
  return chainNames.flatMap((name) => {
    const chain = byName.get(name);
    return chain === undefined ? [] : [{ table, name, rules: chain }];
  });
}

/** Whether a family has the rule; undefined: whether any has. */
export function appliesTo(rule: Rule, family: IpFamily | undefined): boolean {
  return family === undefined || rule.family === "both" || rule.family === family;
}
