// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

function sourceFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(directory, name));
}

test("docs/errors.md has each error code of the sources, and no other", () => {
  const sources = sourceFiles("src").map((path) => readFileSync(path, "utf8"));
  const thrown = sources.flatMap((text) => [...text.matchAll(/\bcode = "(AGENT_[A-Z_]+)"/g)].map((match) => match[1]));
  const page = readFileSync("docs/errors.md", "utf8");
  const listed = [...page.matchAll(/^\| `(AGENT_[A-Z_]+)` \|/gm)].map((match) => match[1]);
  expect(listed).toEqual([...new Set(thrown)].sort());
});
