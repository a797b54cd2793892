// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderConfigurationPage } from "../../../src/config/configuration-page.ts";
import { variables } from "../../../src/config/sources/variables.ts";

const root = join(import.meta.dirname, "../../..");

test("docs/configuration.md is what the tables say", () => {
  expect(readFileSync(join(root, "docs/configuration.md"), "utf8")).toBe(renderConfigurationPage());
});

test("every variable of the table is read somewhere, or known to be without effect", () => {
  const directory = join(root, "src/config");
  const sources = readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith("variables.ts"))
    .map((name) => readFileSync(join(directory, name), "utf8"))
    .join("\n");
  const unread = Object.entries(variables).filter(
    ([name, spec]) => !("dead" in spec) && !sources.includes(`"${name}"`),
  );
  expect(unread.map(([name]) => name)).toEqual([]);
});
