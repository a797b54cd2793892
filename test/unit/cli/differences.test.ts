// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { differences } from "../../../src/cli/explain/differences.ts";

test("documents are compared place by place, named members by their name", () => {
  const here = { a: 1, list: [{ name: "x", v: 1 }, { name: "y" }], words: ["p", "q"] };
  const there = { a: 1, b: null, list: [{ name: "y" }, { name: "x", v: 2 }], words: ["q", "p", "r"] };
  expect(differences(here, there)).toEqual([
    { path: "list.x.v", here: 1, there: 2 },
    { path: 'words.["r"]', there: "r" },
    { path: "b", there: null },
  ]);
});

test("the same documents have none", () => {
  expect(differences({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] })).toEqual([]);
});
