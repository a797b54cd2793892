// SPDX-License-Identifier: Apache-2.0
// `npm run check`: every gate, fastest first. All of them run; the exit code tells whether one failed.
// `npm run check -- lint types` runs the named ones.
import { spawnSync } from "node:child_process";

/** @type {Readonly<Record<string, readonly string[]>>} */
const gates = {
  headers: ["node", "scripts/licence-headers.mjs"],
  format: ["biome", "check", "."],
  imports: ["depcruise", "src", "test", "scripts"],
  "dead-code": ["knip"],
  generated: ["node", "scripts/generate.ts", "--check"],
  lint: ["eslint", "--cache", "--cache-location", "node_modules/.cache/eslint", "--cache-strategy", "content", "."],
  types: ["tsc", "-p", "."],
};

const named = process.argv.slice(2);
const unknown = named.filter((name) => !(name in gates));
if (unknown.length > 0) {
  process.stderr.write(`no gate ${unknown.join(", ")}; there are ${Object.keys(gates).join(", ")}\n`);
  process.exitCode = 64;
} else {
  const failed = [];
  for (const [name, [program = "", ...args]] of Object.entries(gates)) {
    if (named.length > 0 && !named.includes(name)) continue;
    const startMs = performance.now();
    const { status, error } = spawnSync(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
    if (error !== undefined) process.stderr.write(`${error.message}\n`);
    process.stdout.write(`${status === 0 ? "ok  " : "FAIL"} ${name} (${seconds} s)\n`);
    if (status !== 0) failed.push(name);
  }
  if (failed.length > 0) {
    process.stderr.write(`check: failed: ${failed.join(", ")}\n`);
    process.exitCode = 1;
  }
}
