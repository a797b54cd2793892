// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { checks } from "../../../src/diagnosis/doctor/checks.ts";

test("docs/doctor.md has each check of attache doctor, in their order, and no other", () => {
  const [, table = ""] = readFileSync("docs/doctor.md", "utf8").split("## Checks\n");
  const rows = [...(table.split("\n## ")[0] ?? "").matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name);
  expect(rows).toEqual(checks.map(({ name }) => name));
});
