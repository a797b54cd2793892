// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { judgeConfig } from "../../../../src/config/index.ts";
import { knownVariables, misspeltVariable } from "../../../../src/config/known-variables.ts";
import { testInput } from "../../../support/parity-case.ts";

test.each([
  [{ CA_ADRR: "ca:1" }, ["CA_ADRR: is not a variable of the agent (did you mean CA_ADDR?)"]],
  [{ PROXY_CONFG: "{}" }, ["PROXY_CONFG: is not a variable of the agent (did you mean PROXY_CONFIG?)"]],
  [{ XDS_SERVICE_HOST: "x", CA_PORT: "x", ISTIO_META_DNS_CAPTUR: "x", CB_ADDR: "x", ADDR: "x" }, []],
])("the agent warns of misspelt variables, and of no others: %j", (env, expected) => {
  const { config } = judgeConfig(testInput({ env }));
  const warnings = config.warnings.map(({ source, message }) => `${source}: ${message}`);
  expect(warnings.filter((text) => /did you mean/.test(text))).toEqual(expected);
});

test("no variable is taken for the misspelling of another", () => {
  const known = knownVariables();
  for (const name of known) expect(misspeltVariable(name, known)).toBeUndefined();
});
