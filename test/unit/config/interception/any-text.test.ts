// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ConfigError } from "../../../../src/config/index.ts";
import { interceptionSettings, interceptionVariables } from "../../../../src/config/interception/settings.ts";
import { buildRuleSet, renderInterceptionExplanation } from "../../../../src/interception/index.ts";
import { renderIptablesRestore } from "../../../../src/interception/render-iptables.ts";
import { renderNftables } from "../../../../src/interception/render-nftables.ts";
import { fc } from "../../../support/properties.ts";
import { parseOptions } from "../../../support/recorded-interception.ts";

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom("80", "1,2", "*", "TPROXY", "10.0.0.0/8", "eth0", "true", "0x1", "root", ":1", "127.0.0.1/8", "3s"),
  fc.constantFrom(
    "80\nCOMMIT",
    "eth0 -j ACCEPT",
    'a"b',
    "$(id)",
    "-1",
    "1e3",
    "٣",
    "::ffff:1.2.3.4/96",
    "10.0.0.0/8#",
    "!eth0",
  ),
);
const names = [
  ...Object.values(interceptionSettings).flatMap(({ variables }) => variables),
  ...Object.keys(interceptionVariables),
];
const environment = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...names), text), { selector: ([name]) => name, maxLength: 4 })
  .map((entries) => Object.fromEntries(entries));

const restoreLine = /^(\* [a-z]+|-N [A-Z_]+|-(A [A-Z_]+|I [A-Z_]+ \d)( [!A-Za-z0-9_.,:@=+/-]+)+|COMMIT|)$/;
const nftLine = /^((add|delete) (table|chain|rule) inet [a-z-]+( [!="{}A-Za-z0-9_.,:;@*/-]+)*|)$/;

test("any text is either an error or makes rules that nothing can be smuggled into", () => {
  let accepted = 0;
  fc.assert(
    fc.property(environment, (env) => {
      const parsed = parse(env);
      if (parsed === undefined) return;
      accepted++;
      const set = buildRuleSet(parsed.capture);
      for (const family of set.families)
        for (const line of renderIptablesRestore(set, family).split("\n")) expect(line).toMatch(restoreLine);
      for (const line of renderNftables(set).split("\n")) expect(line).toMatch(nftLine);
      expect(renderInterceptionExplanation(set, parsed.capture)).toMatch(/Inbound TCP connections/);
    }),
    { numRuns: 1_000 },
  );
  expect(accepted).toBeGreaterThan(200);
});

/** Undefined after an error for the user; any other error is a fault. */
function parse(env: Readonly<Record<string, string>>): ReturnType<typeof parseOptions> | undefined {
  try {
    return parseOptions([], env);
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}
