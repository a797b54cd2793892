// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { validateBootstrap } from "../../../src/envoy/validation.ts";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** @param script runs instead of Envoy */
async function validate(bootstrap: string, script?: string, timeoutMs = 20_000) {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "envoy.json");
  const standIn = join(directory.path, "stand-in");
  if (script !== undefined) await writeFile(standIn, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const binaryPath = script === undefined ? envoyBinary() : standIn;
  await writeFile(path, bootstrap);
  return await validateBootstrap({ binaryPath, args: ["-c", path], env: {}, user: undefined }, timeoutMs);
}

test("Envoy accepts a bootstrap, or rejects it with a reason of one line and its whole output", async () => {
  expect(await validate("{}")).toEqual({ kind: "accepted" });
  expect(await validate('{"no_such_field":1}')).toMatchObject({
    kind: "rejected",
    detail: expect.stringMatching(/^error initializing configuration .*no_such_field[^\n]*$/) as string,
    output: expect.stringContaining("[critical]") as string,
  });
});

test.each([
  ["does not end in time", "exec sleep 60", /^ended by SIGKILL; the limit is 200 ms$/],
  ["is a script that waits for what it started", "sleep 60; exit 0", /^ended by SIGKILL; the limit is 200 ms$/],
  ["cannot run its program", "exec /nowhere/envoy", /^exit code 127$/],
])("there is no result when the binary %s", async (_what, script, problem) => {
  const validation = await validate("{}", script, 200);
  expect(validation).toEqual({ kind: "unknown", problem: expect.stringMatching(problem) as string });
});

test("there is no result when the binary does not exist", async () => {
  const config = { binaryPath: "/nowhere/envoy", args: [], env: {}, user: undefined };
  expect(await validateBootstrap(config, 200)).toEqual({ kind: "unknown", problem: "spawn /nowhere/envoy ENOENT" });
});
