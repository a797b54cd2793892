// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { expect, test } from "vitest";
import { type DumpElement, readElements } from "../../../../src/diagnosis/config-dump/elements.ts";
import { pieces } from "./dump-fixtures.ts";

async function read(text: string, size = 3): Promise<DumpElement[]> {
  const found: DumpElement[] = [];
  for await (const element of readElements(pieces(Buffer.from(text), size), "x.json")) found.push(element);
  return found;
}

test("messages are found in the lists of the root, in the root, and in a root that is a list", async () => {
  const text =
    '{"n": 1, "configs": [{"a": [{"b": {}}]}, 7, {"c": "}]\\"{"}], "t": "x", "one": {"d": null}, "e": [[{"f": 1}]]}';
  expect(await read(text)).toEqual([
    { member: "configs", message: { a: [{ b: {} }] } },
    { member: "configs", message: { c: '}]"{' } },
    { member: "one", message: { d: null } },
  ]);
  expect(await read(' [{"a": 1}, {"b": {}}]\n')).toEqual([
    { member: "", message: { a: 1 } },
    { member: "", message: { b: {} } },
  ]);
  for (const empty of ["{}", "[]", '{"configs": []}']) expect(await read(empty)).toEqual([]);
});

test("where a piece ends changes nothing", async () => {
  const message = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 }));
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 5 }), fc.integer({ min: 1, max: 40 }), async (messages, size) => {
      const expected = JSON.parse(JSON.stringify(messages)) as unknown[];
      const found = await read(JSON.stringify({ 'a"\\': 1, configs: messages }, undefined, 1), size);
      expect(found.map((element) => element.message)).toEqual(expected);
      expect(found.every(({ member }) => member === "configs")).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test.each([
  ["", "it is empty"],
  ["   ", "it is empty"],
  ["<html>", "it is not a JSON object or list"],
  ['{"configs": [{"a": 1}', "it ends early"],
  ['{"configs": [{"a": 1]}', "brackets do not match"],
  ['{"configs": [{"a" 1}]}', "it is not JSON"],
  [`{"configs": ${"[".repeat(600)}`, "it is nested too deeply"],
])("%j is refused with a reason", async (text, problem) => {
  await expect(read(text)).rejects.toThrow(`read x.json: ${problem}`);
});
