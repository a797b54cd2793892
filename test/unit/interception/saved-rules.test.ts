// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { buildRuleSet } from "../../../src/interception/index.ts";
import type { KernelState, VariantState } from "../../../src/interception/kernel/kernel-state.ts";
import { isListingOf, isUnusedTable, ownNftTables } from "../../../src/interception/kernel/nft-listing.ts";
import { findOwnTables, hasRulesOf } from "../../../src/interception/kernel/own-rules.ts";
import { chooseVariant } from "../../../src/interception/kernel/plan.ts";
import { noNetworkState, parsePolicies } from "../../../src/interception/kernel/network-state.ts";
import { readSavedRule, ruleKey } from "../../../src/interception/kernel/read-saved-rule.ts";
import { renderReplacement, renderReturn } from "../../../src/interception/kernel/restore-input.ts";
import { parseIptablesSave } from "../../../src/interception/kernel/saved-rules.ts";
import type { RuleSet } from "../../../src/interception/rules.ts";
import { machineOf, parseOptions, type RecordedCase, recordedCase } from "../../support/recorded-interception.ts";

function setOf({ args, env, addresses, resolvConf }: RecordedCase): RuleSet {
  return buildRuleSet(parseOptions(args, env, machineOf({ addresses, resolvConf })).capture);
}

describe("what the reference left in the kernel", () => {
  const same = ["01", "02", "03", "05", "06", "10", "11", "12", "13", "14", "15", "17", "21", "24", "26", "27", "28"];

  test.each(same)("of case %s is recognized as the rules of its options", (number) => {
    const recorded = recordedCase(number);
    const set = setOf(recorded);
    for (const family of set.families) {
      const saved = parseIptablesSave(recorded.section(`saved ${family}`).join("\n"));
      const own = findOwnTables(saved, set, family);
      expect(hasRulesOf(own, set, family)).toBe(true);
      expect(hasRulesOf(own, setOf(recordedCase(number === "02" ? "05" : "02")), family)).toBe(false);
    }
    expect(isListingOf(ownNftTables(`${recorded.section("nftables ruleset").join("\n")}\n`), set)).toBe(true);
  });

  test("is found without the options that made it, except what others may have made", () => {
    const saved = parseIptablesSave(recordedCase("16").section("saved ipv4").join("\n"));
    const foreign = "-p tcp -m tcp --dport 9 -j RETURN";
    const tables = saved.map((table) => ({
      ...table,
      chains: table.chains.map((chain) =>
        chain.name === "OUTPUT" ? { ...chain, rules: [foreign, ...chain.rules] } : chain,
      ),
    }));
    const own = findOwnTables(tables, { rules: [] }, "ipv4");
    expect(own.map(({ name }) => name).sort()).toEqual(["mangle", "nat", "raw"]);
    const placed = own.flatMap(({ rules }) =>
      rules.map(({ chain, position, text }) => `${chain} ${position.toString()} ${text}`),
    );
    expect(placed.filter((text) => text.includes(foreign))).toEqual([]);
    const builtIn = tables.flatMap(({ chains }) => chains.filter(({ policy }) => policy !== undefined));
    expect(placed).toHaveLength(builtIn.flatMap(({ rules }) => rules).filter((text) => text !== foreign).length);
  });
});

describe("a rule as iptables-save prints it", () => {
  test.each([
    [
      "-p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
      "-p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
    ],
    [
      "-p 6 -m tcp --dport 0:65535 -o + -d 0.0.0.0/0 -j REDIRECT --to-ports 15001",
      "-p tcp -j REDIRECT --to-ports 15001",
    ],
    ["-s 127.0.3.1/8 -j RETURN", "-s 127.0.0.0/8 -j RETURN"],
    ["-d 10.96.0.10 -j RETURN", "-d 10.96.0.10/32 -j RETURN"],
    [
      "-p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT",
      "-p tcp -m conntrack --ctstate ESTABLISHED,RELATED -j ISTIO_DIVERT",
    ],
    ["-j MARK --set-xmark 0x539/0xffffffff", "-j MARK --set-mark 1337"],
    [
      "-p tcp -j TPROXY --on-port 15006 --on-ip 0.0.0.0 --tproxy-mark 0x539/0xffffffff",
      "-p tcp -j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006",
    ],
    ["-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff", "-j CONNMARK --save-mark"],
  ])("%s means %s", (text, expected) => {
    const rule = readSavedRule(text, "ipv4");
    expect(rule === undefined ? undefined : ruleKey(rule)).toBe(expected);
  });

  test.each([
    "-j DOCKER",
    "-p tcp",
    "-p icmp -j RETURN",
    "-m comment --comment mine -j RETURN",
    "-m mark --mark 0x1/0xff -j RETURN",
    "-j MARK --set-xmark 0x1/0xff",
    "-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
    "-m set --match-set mine dst -j RETURN",
    "! -s 10.0.0.0/8 -j RETURN",
    "-j REDIRECT --to-ports 1-2",
    "-g ISTIO_OUTPUT",
  ])("%s is another's", (text) => {
    expect(readSavedRule(text, "ipv4")).toBeUndefined();
  });
});

test("a replacement keeps rules of others, and its undoing puts rules where they were", () => {
  const set = setOf(recordedCase("26"));
  const saved =
    "*nat\n:OUTPUT ACCEPT [0:0]\n:ISTIO_OLD - [0:0]\n-A OUTPUT -j MINE\n-A OUTPUT -j ISTIO_OLD\n-A ISTIO_OLD -p tcp -j RETURN\nCOMMIT\n";
  const own = findOwnTables(parseIptablesSave(saved), set, "ipv4");
  const input = renderReplacement(own, set, "ipv4").split("\n");
  expect(input[0]).toBe("*nat");
  expect(input).toEqual(
    expect.arrayContaining(["-D OUTPUT -j ISTIO_OLD", "-F ISTIO_OLD", "-X ISTIO_OLD", ":ISTIO_OUTPUT - [0:0]"]),
  );
  expect(input.filter((line) => line.includes("MINE"))).toEqual([]);
  expect(renderReturn([], own).split("\n")).toEqual([
    "*nat",
    ":ISTIO_OLD - [0:0]",
    "-A ISTIO_OLD -p tcp -j RETURN",
    "-I OUTPUT 2 -j ISTIO_OLD",
    "COMMIT",
    "",
  ]);
});

test("policy rules by mark alone are read", () => {
  const text =
    "0:\tfrom all lookup local\n32764:\tfrom all fwmark 0x539 lookup 133\n100:\tfrom all fwmark 0x1/0xff lookup 7\n5:\tfrom 10.0.0.1 fwmark 0x2 lookup 8\n";
  expect(parsePolicies(text)).toEqual([{ priority: 32_764, mark: 1337, table: 133 }]);
});

test.each([
  ["table ip nat {\n}\n", true],
  ["table ip nat {\n\tchain OUTPUT {\n\t\ttype nat hook output priority -100; policy accept;\n\t}\n}\n", true],
  ["table ip nat {\n\tchain MINE {\n\t}\n}\n", false],
  ["table ip nat {\n\tchain OUTPUT {\n\t\ttype nat hook output priority -100; policy drop;\n\t}\n}\n", false],
  ["table ip nat {\n\tset mine {\n\t\ttype ipv4_addr\n\t}\n}\n", false],
  [
    "table ip nat {\n\tchain OUTPUT {\n\t\ttype nat hook output priority -100; policy accept;\n\t\tcounter packets 0 bytes 0 accept\n\t}\n}\n",
    false,
  ],
])("%j is unused: %s", (listing, expected) => {
  expect(isUnusedTable(listing)).toBe(expected);
});

describe("the variant of iptables", () => {
  const own = "*nat\n:OUTPUT ACCEPT [0:0]\n:ISTIO_OUTPUT - [0:0]\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n";
  const foreign = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j MINE\nCOMMIT\n";
  const empty = "*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

  function state(texts: Partial<Record<VariantState["variant"], string>>): KernelState {
    const iptables = (["nft", "legacy", "plain"] as const).flatMap((variant): readonly VariantState[] => {
      const text = texts[variant];
      if (text === undefined) return [];
      const ipv4 = parseIptablesSave(text);
      return [
        { variant, saved: { ipv4, ipv6: [] }, own: { ipv4: findOwnTables(ipv4, { rules: [] }, "ipv4"), ipv6: [] } },
      ];
    });
    return { iptables, iptablesFailure: undefined, nftables: "", nftFailure: undefined, network: noNetworkState };
  }

  test.each<[string, KernelState, "legacy" | "nft" | undefined, string | undefined]>([
    ["is nft where nothing is there", state({ nft: "" }), undefined, "nft"],
    ["is the one that has our chains", state({ nft: foreign, legacy: own }), undefined, "legacy"],
    ["is nft if both have", state({ nft: own, legacy: own }), undefined, "nft"],
    ["is legacy if it has rules of others", state({ nft: "", legacy: foreign }), undefined, "legacy"],
    ["is not legacy for a table without rules", state({ nft: "", legacy: empty }), undefined, "nft"],
    ["is legacy where nft does not work", state({ legacy: "" }), undefined, "legacy"],
    ["is the only one that is installed", state({ plain: "" }), undefined, "plain"],
    ["is what the options say", state({ nft: own }), "legacy", "legacy"],
    ["is unknown where none is installed", state({}), undefined, undefined],
  ])("%s", (_, kernel, binary, expected) => {
    expect(chooseVariant(kernel, binary)).toBe(expected);
  });
});
