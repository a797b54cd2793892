// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";

const here = import.meta.dirname;
const launcher = join(here, "../../bin/attache");
const cases = readdirSync(join(here, "cases")).sort();

interface CaseResult {
  readonly case: string;
  readonly status: string;
  readonly diffs: readonly unknown[];
  readonly said: string;
}

/** Why the cases cannot run on this machine; undefined when they can. */
function whyNot(): string | undefined {
  for (const program of ["python3", "ip"]) {
    if (spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0) return `${program} is not installed`;
  }
  if (process.getuid?.() === 0) return undefined;
  return spawnSync("unshare", ["-rn", "true"]).status === 0 ? undefined : "neither root nor user namespaces are there";
}

function needsRoot(name: string): boolean {
  const spec: unknown = JSON.parse(readFileSync(join(here, "cases", name, "case.json"), "utf8"));
  return typeof spec === "object" && spec !== null && "needs_root" in spec && spec.needs_root === true;
}

const reason = whyNot();
const inCi = process.env["CI"] !== undefined;
if (reason !== undefined) process.stderr.write(`parity: the recorded cases are left out: ${reason}\n`);

let results: ReadonlyMap<string, CaseResult> = new Map();
let unused: readonly unknown[] = [];

beforeAll(() => {
  if (reason !== undefined) return;
  expect(existsSync(join(here, "../../dist/attache.cjs")), "the bundle is there (npm run build)").toBe(true);
  const args = ["run", "--agent", launcher, "--accepted", join(here, "accepted.json"), "--json", "--jobs", "2"];
  // Not below the test's own directory, which is closed to the user that Envoy has in one of the cases.
  const env = { ...process.env, TMPDIR: "/tmp" };
  const run = spawnSync(join(here, "parity"), args, {
    env,
    encoding: "utf8",
    maxBuffer: 64 << 20,
    timeout: 240_000,
  });
  const report = JSON.parse(run.stdout) as { cases: readonly CaseResult[]; unused_accepted: readonly unknown[] };
  results = new Map(report.cases.map((result) => [result.case, result]));
  unused = report.unused_accepted;
}, 250_000);

test("recorded cases can run where nobody may leave them out", () => {
  if (inCi) expect(reason).toBeUndefined();
});

for (const name of cases) {
  const leftOut = reason !== undefined || (process.getuid?.() !== 0 && needsRoot(name));
  test.skipIf(leftOut)(`answers like the reference: ${name}`, () => {
    const result = results.get(name);
    expect(result?.diffs, result?.said).toEqual([]);
    expect(["PASS", "ACCEPTED"]).toContain(result?.status);
  });
}

test.skipIf(reason !== undefined)("every accepted difference still exists", () => {
  expect(unused).toEqual([]);
});
