// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { renderBootstrap } from "../../../src/bootstrap/bootstrap.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { limits } from "../../../src/model/limits.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";

const page = readFileSync("docs/security.md", "utf8");
const rows = page.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| who |"));

/** The last cell of a row: a test file and the title of a test, or the part of it that does not vary. */
function testOf(row: string): readonly [path: string, title: string] {
  const [, path = "", title = ""] = /\| `(test\/[^`]+)`: ([^|]+) \|$/.exec(row) ?? [];
  return [path, title];
}

test("docs/security.md names the ports and sockets of the agent", () => {
  for (const name of ["15020", "15021", "15090", "15000", "15053", "SDS socket", "XDS socket", "attache ca"]) {
    expect(page).toContain(name);
  }
});

test.each(rows)("the test of this line of docs/security.md exists: %s", (row) => {
  const [path, title] = testOf(row);
  expect(path, "the last cell is `test/FILE`: TITLE").not.toBe("");
  expect(existsSync(path), path).toBe(true);
  expect(readFileSync(path, "utf8")).toContain(title);
});

test("the budgets that docs/security.md names are in the table", () => {
  const named = [...page.matchAll(/`((?:status|probe|scrape|dns|sds|xds|wasm|embedded-ca|envoy)[a-z]*-[a-z-]+)`/g)];
  expect(named.length).toBeGreaterThan(10);
  for (const [, name = ""] of named) expect(Object.keys(limits)).toContain(name);
});

test("the admin interface of Envoy listens on loopback only", () => {
  const { bootstrap } = parseConfig(testInput({ env: podEnv }));
  if (bootstrap.kind !== "generated") throw new Error("no bootstrap");
  const address = { socket_address: { address: "127.0.0.1" } };
  expect(renderBootstrap(bootstrap.config)).toMatchObject({ admin: { address } });
});
