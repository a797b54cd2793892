// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../../..");
const page = readFileSync(join(root, "docs/differences.md"), "utf8");

test("every difference names a test, and every test that is named exists", () => {
  const rows = page.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| pilot-agent"));
  expect(rows.length).toBeGreaterThan(40);
  for (const row of rows) expect(row).toMatch(/`(test\/|npm run bench)[^`]*`/);
  const named = [...page.matchAll(/`(test\/[a-z0-9/.-]+)`/g)].map(([, path = ""]) => path);
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test("every accepted difference of the recorded answers has its reason", () => {
  const accepted = JSON.parse(readFileSync(join(root, "test/parity/accepted.json"), "utf8")) as Record<
    string,
    Record<string, { reason: string }>
  >;
  for (const paths of Object.values(accepted))
    for (const { reason } of Object.values(paths)) expect(reason).not.toBe("");
});
