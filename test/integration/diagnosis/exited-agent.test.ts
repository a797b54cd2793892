// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freePorts } from "../../support/free-ports.ts";
import { type ProgramExit, startProgram } from "../../support/program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

test("status, doctor and wait say how the agent of this container exited, and not for the address of another", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "message");
  writeFileSync(path, "attache exited with code 137: Envoy was killed by signal SIGKILL (9)\nready: no\n");
  const [port = 0] = await freePorts(1);
  const env = { PROXY_CONFIG: `statusPort: ${String(port)}`, ATTACHE_TERMINATION_MESSAGE_PATH: path };
  const run = async (...words: readonly string[]): Promise<ProgramExit> => {
    await using program = startProgram(words, env);
    return await program.exited;
  };
  const [status, doctor, wait, other] = await Promise.all([
    run("status"),
    run("doctor"),
    run("wait", "--timeoutSeconds", "4"),
    run("status", "--address", String(port)),
  ]);
  const exit = /gent exited with code 137 (?:just now|\d+ s ago): Envoy was killed by signal SIGKILL \(9\)/;
  expect([status.code, status.stdout.replaceAll(/\s+/g, " ")]).toEqual([
    1,
    expect.stringMatching(new RegExp(`^NO AGENT: The a${exit.source}\\. -> .*attache doctor`)) as string,
  ]);
  expect([doctor.code, doctor.stdout]).toEqual([
    1,
    expect.stringMatching(new RegExp(`^\\[fail\\] agent +the a${exit.source}`, "m")) as string,
  ]);
  expect(wait.stdout.match(/Not ready yet/g)).toHaveLength(1);
  const absent = /^NO AGENT: No agent responded at .*ECONNREFUSED.*\n(?:.*\n)*-> .*attache doctor/;
  expect(other.stdout).toMatch(absent);
  expect(other.stdout.match(/ECONNREFUSED/g)).toHaveLength(1);
});
