// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { buildRuleSet, renderDryRunFile } from "../../../src/interception/index.ts";
import type { RuleSet } from "../../../src/interception/rules.ts";
import { renderIptablesRestore } from "../../../src/interception/render-iptables.ts";
import { renderNftables } from "../../../src/interception/render-nftables.ts";
import { expectedRules } from "../../support/interception-differences.ts";
import { normalNftables } from "../../support/interception-text.ts";
import {
  machineOf,
  parseOptions,
  type RecordedCase,
  recordedCase,
  recordedCases,
} from "../../support/recorded-interception.ts";

/** Compared below: no rules at all, or the rules of one family only. */
const special = ["19-cleanup-only-clean-host", "23-owner-groups-unknown-name", "29-v6-resolver-on-v4-host"];

/** The reference captures both families only with this option. */
const moreArgs: Readonly<Record<string, readonly string[]>> = {
  "22-dual-without-dual-stack-flag": ["--dual-stack=false"],
};

function ruleSetOf(recorded: RecordedCase, more: readonly string[] = []): RuleSet {
  return buildRuleSet(parseOptions([...recorded.args, ...more], recorded.env, machineOf(recorded)).capture);
}

function dryRunFile(set: RuleSet, cleanupOnly = false): readonly string[] {
  return renderDryRunFile({ backend: "iptables", set, cleanupOnly }).split("\n");
}

describe.each(recordedCases.filter(({ name }) => !special.includes(name)))("$name", (recorded) => {
  const set = ruleSetOf(recorded, moreArgs[recorded.name]);

  test("writes the recorded file of a dry run", () => {
    expect(dryRunFile(set).slice(0, -1)).toEqual(expectedRules(recorded, "iptables"));
  });

  test("makes the recorded transaction of nftables", () => {
    const transaction = renderNftables(set).split("\n");
    expect(normalNftables(transaction)).toEqual(normalNftables(expectedRules(recorded, "nftables")));
  });
});

test.each(recordedCases.filter(({ exitCodes }) => exitCodes.nftables === 0))(
  "$name has the recorded policy routes and addresses of lo",
  (recorded) => {
    const { routes, loopbackAddresses } = ruleSetOf(recorded, moreArgs[recorded.name]);
    const network = recorded.section("network").join("\n");
    const rules = [...network.matchAll(/fwmark (\S+) lookup (\d+)/g)];
    const isClean = recorded.args.includes("--cleanup-only");
    expect(isClean ? [] : routes.map(({ mark, table }) => [mark, table])).toEqual(
      rules.map(([, mark, table]) => [Number(mark), Number(table)]),
    );
    expect(loopbackAddresses).toEqual(network.includes("inet6 ::6/128") ? ["::6/128"] : []);
  },
);

test("two families are captured without the option as with it", () => {
  const recorded = recordedCase("22");
  expect(ruleSetOf(recorded)).toEqual(ruleSetOf(recorded, ["--dual-stack"]));
  expect(ruleSetOf(recorded).families).toEqual(["ipv4", "ipv6"]);
});

test("a server with an IPv6 address is captured on a machine without one", () => {
  const recorded = recordedCase("29");
  const set = ruleSetOf(recorded);
  const ipv4 = ["iptables-save", "ip6tables-save", ...renderIptablesRestore(set, "ipv4").split("\n"), "iptables-save"];
  expect(ipv4.filter((line) => line !== "")).toEqual(expectedRules(recorded, "iptables"));
  expect(renderIptablesRestore(set, "ipv6")).toContain(
    "-A ISTIO_OUTPUT_DNS -p udp --dport 53 -d fd00:96::a/128 -j REDIRECT --to-port 15053\n",
  );
});

test("an unknown group is an error before anything is done", () => {
  const recorded = recordedCase("23");
  expect(() => ruleSetOf(recorded)).toThrow(
    'ISTIO_OUTBOUND_OWNER_GROUPS: "java" is not the name of a group in /etc/group; use its number',
  );
});

test("a dry run of a cleanup shows what is read; what is removed follows from it", () => {
  const recorded = recordedCase("19");
  expect(dryRunFile(ruleSetOf(recorded), true)).toEqual(["iptables-save", "ip6tables-save", ""]);
});
