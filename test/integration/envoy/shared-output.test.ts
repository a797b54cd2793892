// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { staticEnvoy } from "../../support/static-envoy.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const lines = 5_000;

test("agent and Envoy share a pipe whose reader is slow: no line is lost and none is mixed with another", async () => {
  await using directory = await temporaryDirectory();
  const { config } = await staticEnvoy(directory.path);
  const binaryPath = join(directory.path, "program");
  const script = `i=0; while [ $i -lt ${String(lines)} ]; do echo "envoy $i ${"e".repeat(200)}."; i=$((i+1)); done > /dev/stdout`;
  await writeFile(binaryPath, `#!/bin/sh\n${script}\n`);
  await chmod(binaryPath, 0o755);
  const words = ["test/fixtures/envoy/shared-output.ts", JSON.stringify({ config: { ...config, binaryPath }, lines })];
  // a pipe as a container has it: what the runtime itself makes are sockets, which /dev/stdout cannot open
  const pipeline = ["-c", '"$0" "$@" | cat', process.execPath, ...words];
  const child = spawn("/bin/sh", pipeline, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    output += chunk.toString("latin1");
    await systemClock.delay(1);
  }
  const written = output.trimEnd().split("\n");
  const agent = written.map((line) => /\tinfo\tagent (\d+) a*\.$/.exec(line)?.[1]).filter((line) => line !== undefined);
  const envoy = written.map((line) => /^envoy (\d+) e{200}\.$/.exec(line)?.[1]).filter((line) => line !== undefined);
  const numbers = Array.from({ length: lines }, (_, line) => String(line));
  expect(agent).toEqual(numbers);
  expect(envoy).toEqual(numbers);
  expect(written).toHaveLength(2 * lines);
});
