// SPDX-License-Identifier: Apache-2.0
import { appliesTo } from "../chain-order.ts";
import { readKernel } from "../kernel/kernel-state.ts";
import { isRuleListed } from "../kernel/nft-listing.ts";
import { findRule } from "../kernel/own-rules.ts";
import { ProgramError, type Programs } from "../kernel/programs.ts";
import type { Backend, IpFamily } from "../options.ts";
import { iptablesChain, renderIptablesRule } from "../render-iptables.ts";
import { nftablesTables, renderNftablesRule } from "../render-nftables.ts";
import type { Rule, RuleSet } from "../rules.ts";

/** Whether the kernel has a rule for a family. */
export type HasRule = (rule: Rule, family: IpFamily) => boolean;

/**
 * Reads which rules are there, whoever has them.
 * @returns undefined if this process may not read them
 */
export async function readRules(programs: Programs, set: RuleSet): Promise<HasRule | undefined> {
  try {
    const { iptables, nftables, nftFailure } = await readKernel(programs, set);
    if (iptables.length === 0 && nftFailure !== undefined) return undefined;
    return (rule, family) =>
      isRuleListed(nftables, rule) || iptables.some(({ own }) => findRule(own[family], rule, family));
  } catch (error) {
    if (error instanceof ProgramError) return undefined;
    throw error;
  }
}

/** The rules of the set that a family has to have and has not. */
export function missingRules(set: RuleSet, family: IpFamily, hasRule: HasRule): readonly Rule[] {
  return set.rules.filter((rule) => appliesTo(rule, family) && !hasRule(rule, family));
}

/** A rule as the command that would add it: `iptables -t nat -A OUTPUT -j ISTIO_OUTPUT`. */
export function renderRule(rule: Rule, family: IpFamily, backend: Backend["kind"]): string {
  if (backend === "nftables") {
    return `nft add rule inet ${nftablesTables[rule.table]} ${rule.chain} ${renderNftablesRule(rule)}`;
  }
  const program = family === "ipv4" ? "iptables" : "ip6tables";
  return `${program} -t ${rule.table} -A ${iptablesChain(rule.chain)} ${renderIptablesRule(rule)}`;
}
