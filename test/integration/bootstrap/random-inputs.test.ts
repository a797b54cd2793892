// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderBootstrap } from "../../../src/bootstrap/index.ts";
import { checkBootstrapSchema } from "../../../src/bootstrap/schema-check.ts";
import type { AgentConfig } from "../../../src/config/agent-config.ts";
import { ConfigError, parseConfig } from "../../../src/config/index.ts";
import { envoyProblem } from "../../support/envoy-validate.ts";
import { type TestInput, testInput } from "../../support/parity-case.ts";
import { fc } from "../../support/properties.ts";
import { randomInput } from "../../support/random-config.ts";

/** Undefined when the input is rejected, with reasons, or when Envoy takes a file of the user's own. */
function accepted(random: TestInput): AgentConfig | undefined {
  try {
    const config = parseConfig(testInput(random));
    return config.bootstrap.kind === "generated" ? config : undefined;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.problems.every(({ source, message }) => source !== "" && message !== "")).toBe(true);
    return undefined;
  }
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, item]) => key.isWellFormed() && isWellFormed(item));
}

test("10,000 random inputs give a bootstrap of Envoy's form, or a clear configuration error", () => {
  let valid = 0;
  fc.assert(
    fc.property(randomInput, (random) => {
      const config = accepted(random);
      if (config?.bootstrap.kind !== "generated") return;
      valid++;
      // Envoy ends over an empty one of them
      expect([config.node.id, config.node.cluster]).not.toContain("");
      const text = JSON.stringify(renderBootstrap(config.bootstrap.config));
      // A half character would be written as an escape, which Envoy's reader refuses.
      expect(isWellFormed(JSON.parse(text))).toBe(true);
      expect(checkBootstrapSchema(JSON.parse(text) as Parameters<typeof checkBootstrapSchema>[0])).toEqual([]);
    }),
    { numRuns: 10_000 },
  );
  expect(valid).toBeGreaterThan(2_000);
}, 120_000);

test("a real Envoy accepts what random inputs give", async () => {
  let asked = 0;
  await fc.assert(
    fc.asyncProperty(randomInput, async (random) => {
      const config = accepted(random);
      const tracer = config?.bootstrap.kind === "generated" ? config.bootstrap.config.tracer : undefined;
      // Envoy has dropped this tracer; those who still set it run an older one.
      if (tracer?.kind === "lightstep") return;
      if (config === undefined) return;
      asked++;
      expect(await envoyProblem(config)).toBe("");
    }),
    { numRuns: 150, endOnFailure: true },
  );
  expect(asked).toBeGreaterThan(50);
}, 120_000);
