// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const launcher = join(import.meta.dirname, "../../../bin/attache");

test.each([
  [["proxy", "nonsense"], 64],
  [["request", "GET"], 64],
  [["wait", "--timeoutSeconds", "1"], 1],
  [["version"], 0],
])("%j has its exit code also when nobody reads what it says", async (args, code) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "pipe");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  closeSync(reader);
  const [statusPort = 0] = await freePorts(1);
  const env = { PATH: process.env["PATH"], TMPDIR: directory.path, PROXY_CONFIG: JSON.stringify({ statusPort }) };
  const child = spawn(launcher, args, { stdio: ["ignore", writer, writer], env });
  expect(await once(child, "exit")).toEqual([code, null]);
  closeSync(writer);
});
