// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderTable } from "../../../src/lib/text-table.ts";

test("columns are aligned, the last is not padded, and empty cells show a dash", () => {
  const rows = [
    ["a", "1", ""],
    ["longer", "", "x"],
  ];
  expect(renderTable(["name", "port", "note"], rows)).toBe(
    "NAME     PORT   NOTE\na        1      -\nlonger   -      x\n",
  );
});

test("control characters of a cell do not reach the terminal", () => {
  expect(renderTable(["name"], [["\u001B[31mred\n"]])).not.toMatch(/\u001B|\n.*\n./);
});

test("a table has any number of rows", () => {
  const rows = Array.from({ length: 200_000 }, () => ["a", "b"]);
  expect(renderTable(["name", "port"], rows).length).toBe("NAME   PORT\n".length + rows.length * "a      b\n".length);
});
