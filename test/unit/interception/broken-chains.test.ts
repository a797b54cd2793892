// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { chainsOf } from "../../../src/interception/chain-order.ts";
import { buildRuleSet } from "../../../src/interception/index.ts";
import { brokenChains, hasCapture, type RuleTable } from "../../../src/interception/kernel/broken-chains.ts";
import { iptablesChain, renderIptablesRule } from "../../../src/interception/render-iptables.ts";
import { renderNftablesRule } from "../../../src/interception/render-nftables.ts";
import type { Rule } from "../../../src/interception/rules.ts";
import { machineOf, parseOptions, recordedCases } from "../../support/recorded-interception.ts";

const builtIn = (name: string): string | undefined => (/^(prerouting|output)$/i.test(name) ? "ACCEPT" : undefined);

function tablesOf(rules: readonly Rule[], render: (rule: Rule) => string, nameOf: (chain: Rule["chain"]) => string) {
  return (["nat", "mangle", "raw"] as const).map((name): RuleTable => {
    const chains = chainsOf({ rules }, name).map((chain) => {
      const chainName = nameOf(chain.name);
      return { name: chainName, policy: builtIn(chainName), rules: chain.rules.map(render) };
    });
    return { name, chains };
  });
}

test.each(recordedCases.filter(({ exitCodes, args }) => exitCodes.iptables === 0 && !args.includes("--cleanup-only")))(
  "the rules of no options are taken to be broken: $name",
  (recorded) => {
    const { rules } = buildRuleSet(parseOptions(recorded.args, recorded.env, machineOf(recorded)).capture);
    for (const tables of [
      tablesOf(rules, renderIptablesRule, iptablesChain),
      tablesOf(rules, renderNftablesRule, (chain) => chain),
    ]) {
      expect(tables.flatMap(brokenChains)).toEqual([]);
      expect(tables.some(hasCapture)).toBe(rules.some(({ action }) => /redirect|tproxy/.test(action.kind)));
    }
  },
);

test("a chain that is part of an unreached one is not reported again", () => {
  const chain = (name: string, ...rules: string[]) => ({ name, policy: builtIn(name), rules });
  const chains = [
    chain("PREROUTING", "-p udp -j RETURN", '-m comment --comment "-j ISTIO_INBOUND" -j OTHERS'),
    chain("OTHERS", "-p tcp -j RETURN", "-j ISTIO_INBOUND"),
    chain("ISTIO_INBOUND", "-j ISTIO_TPROXY"),
    chain("ISTIO_TPROXY", "-j TPROXY --on-port 15006"),
  ];
  expect(brokenChains({ name: "t", chains })).toEqual([{ table: "t", chain: "ISTIO_INBOUND", kind: "unreached" }]);
  expect(hasCapture({ name: "t", chains })).toBe(false);
});
