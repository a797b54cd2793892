// SPDX-License-Identifier: Apache-2.0
// What `attache explain` and `attache doctor` go on with where the agent would not start.
import { expect, test } from "vitest";
import { renderBootstrap } from "../../../src/bootstrap/index.ts";
import { judgeConfig, effectiveSettings } from "../../../src/config/index.ts";
import { variables } from "../../../src/config/sources/variables.ts";
import { type TestInput, testInput } from "../../support/parity-case.ts";
import { fc } from "../../support/properties.ts";
import { randomInput } from "../../support/random-config.ts";

const value = fc.oneof(
  fc.constantFrom(
    "",
    "x",
    "-1",
    "0",
    "{",
    "[]",
    "true",
    "5s",
    "localhost:0",
    "a:b:c",
    "/nowhere",
    "999999999999999999999",
  ),
  fc.string({ maxLength: 20 }).map((text) => text.replaceAll("\u0000", "")),
);

/** Known variables with values that most of them do not take. */
const wrongVariables = fc.dictionary(fc.constantFrom(...Object.keys(variables)), value, { maxKeys: 6 });
const role = fc.constantFrom("sidecar", "router", "gateway", "--concurrency=x");

test("a wrong configuration is judged as far as it goes: problems, settings and a bootstrap", () => {
  let wrong = 0;
  fc.assert(
    fc.property(randomInput, wrongVariables, role, (random: TestInput, env, word) => {
      const input = testInput({ ...random, args: [word], env: { ...random.env, ...env } });
      const { config, problems } = judgeConfig(input);
      if (problems.length > 0) wrong++;
      expect(effectiveSettings(input).length).toBeGreaterThan(100);
      if (config.bootstrap.kind === "generated") JSON.stringify(renderBootstrap(config.bootstrap.config));
    }),
    { numRuns: 500 },
  );
  expect(wrong).toBeGreaterThan(100);
});
