// SPDX-License-Identifier: Apache-2.0
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readExitReport } from "../../../src/diagnosis/exit-report.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const nowMs = Date.parse("2026-12-01T10:00:00Z");

test.each<[string, string, string | undefined]>([
  [
    "an exit",
    "attache exited with code 69: run Envoy at /x: there is no such file\nready: no\n",
    "the agent exited with code 69 3 min ago: run Envoy at /x: there is no such file",
  ],
  ["a message that was written in advance", "attache left no crash report. The exit code says why.\n", undefined],
  ["another program's message", "attache exited\n", undefined],
  ["no text", "", undefined],
  [
    "control characters",
    "attache exited with code 1: \u001b[2Jgone\n",
    "the agent exited with code 1 3 min ago: \\u001b[2Jgone",
  ],
])("%s in the termination message", async (_title, text, report) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "message");
  writeFileSync(path, text);
  utimesSync(path, nowMs / 1_000 - 180, nowMs / 1_000 - 180);
  expect(await readExitReport({ ATTACHE_TERMINATION_MESSAGE_PATH: path }, nowMs)).toBe(report);
});

test("no termination message says nothing", async () => {
  expect(await readExitReport({ ATTACHE_TERMINATION_MESSAGE_PATH: "/no/such/file" }, nowMs)).toBeUndefined();
  expect(await readExitReport({ ATTACHE_TERMINATION_MESSAGE_PATH: "" }, nowMs)).toBeUndefined();
});
