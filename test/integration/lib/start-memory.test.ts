// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot, runProgram } from "../../support/run-program.ts";

interface Outcome {
  readonly before: number;
  readonly after: number;
  readonly collections: number;
  readonly steps: number;
}

test("what the start left behind goes back to the system, in steps, without a word of the engine's", async () => {
  const program = join(projectRoot, "test/support/start-memory-program.ts");
  const { code, stdout, stderr } = await runProgram("node", ["--max-semi-space-size=1", program]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const { before, after, collections, steps } = JSON.parse(stdout) as Outcome;
  expect(after).toBeLessThan(before - 10_000_000);
  expect(collections).toBeLessThan(6);
  expect(steps).toBeGreaterThanOrEqual(collections);
});
