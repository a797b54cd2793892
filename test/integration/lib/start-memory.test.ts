// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runProgram } from "../../support/run-program.ts";

interface Outcome {
  readonly before: number;
  readonly after: number;
  readonly collections: number;
  readonly steps: number;
}

test("what the start left behind goes back to the system, in steps, without a word of the engine's", async () => {
  const program = fileURLToPath(new URL("../../support/start-memory-program.ts", import.meta.url));
  const { code, stdout, stderr } = await runProgram("node", ["--max-semi-space-size=1", program]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const { before, after, collections, steps } = JSON.parse(stdout) as Outcome;
  expect(after).toBeLessThan(before - 10_000_000);
  expect(collections).toBeLessThan(6);
  expect(steps).toBeGreaterThanOrEqual(collections);
});
