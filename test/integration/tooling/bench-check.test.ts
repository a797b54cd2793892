// SPDX-License-Identifier: Apache-2.0
import { chmodSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const root = join(import.meta.dirname, "../../..");

/** 20 ms of start are planted into samples: test/unit/bench/regressions.test.ts. What is planted here, by `--require`, into the agent or into the bench itself. */
const plants = {
  none: "",
  memory: "globalThis.held = Buffer.alloc(5e6, 1);",
  block: `setInterval(() => {
    const before = process.cpuUsage();
    while (process.cpuUsage(before).user < 50_000);
  }, 300).unref();`,
  load: `const whole = globalThis.fetch;
  let count = 0;
  globalThis.fetch = (...request) =>
    ++count % 10 === 0 ? whole(...request) : Promise.reject(new Error("planted"));`,
} as const;

async function check(plant: keyof typeof plants): Promise<{ readonly exitCode: number; readonly stdout: string }> {
  await using directory = await temporaryDirectory();
  const planted = join(directory.path, "planted.cjs");
  writeFileSync(planted, plants[plant]);
  const require = `--require=${planted}`;
  const agent = join(directory.path, "agent");
  const options = plant === "load" ? "" : `NODE_OPTIONS=${require} `;
  writeFileSync(agent, `#!/bin/sh\n${options}exec ${join(root, "bin/attache")} "$@"\n`);
  chmodSync(agent, 0o755);
  const { exitCode, stdout, stderr } = await execa(process.execPath, ["scripts/bench.ts", "--check"], {
    cwd: root,
    reject: false,
    extendEnv: false,
    env: {
      PATH: process.env["PATH"],
      TMPDIR: tmpdir(),
      ENVOY_PATH: envoyBinary(),
      BENCH_AGENT: agent,
      ATTACHE_CHECK_ROUNDS: "2",
      ...(plant === "load" ? { NODE_OPTIONS: require } : {}),
    },
  });
  return { exitCode: exitCode ?? -1, stdout: stdout + stderr };
}

test("the tree passes the check", { timeout: 180_000 }, async () => {
  const { exitCode, stdout } = await check("none");
  expect(stdout).not.toContain("FAILED");
  expect(exitCode).toBe(0);
});

test.each([
  ["memory", "private memory at rest"],
  ["block", "processor time of the longest of 50 probes"],
] as const)("a planted regression is seen: %s", { timeout: 180_000 }, async (plant, row) => {
  const { exitCode, stdout } = await check(plant);
  expect(stdout).toContain(`FAILED: check: ${row}: `);
  expect(exitCode).toBe(1);
});

test("a planted regression is seen: a tenth of the load", { timeout: 180_000 }, async () => {
  const { exitCode, stdout } = await check("load");
  expect(stdout).toMatch(/FAILED: check: the load was not what the suite says: probes answered: 20 of 200/);
  expect(exitCode).toBe(1);
});
