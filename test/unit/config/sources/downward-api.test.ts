// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Findings } from "../../../../src/config/config-error.ts";
import { parseDownwardApi, unquote } from "../../../../src/config/sources/downward-api.ts";
import { fc } from "../../../support/properties.ts";

test.each([
  ['"say \\"hi\\""', 'say "hi"'],
  ['"a\\tb"', "a\tb"],
  ['"caf\\u00e9 \\U0001F600"', "café 😀"],
  ["`back\\quoted`", "back\\quoted"],
  ["'x'", "x"],
  ["'\\''", "'"],
  ['"\\x41\\102"', "AB"],
  ['"\\xc3\\xa9"', "é"],
  ['""', ""],
  ["qux", undefined],
  ['"', undefined],
  ["'ab'", undefined],
  ['"a"b"', undefined],
  ['"\\q"', undefined],
  ['"\\ud800"', undefined],
  ['"\\400"', undefined],
  ['"\\"', undefined],
])("%s is read as %j", (literal, expected) => {
  expect(unquote(literal)).toBe(expected);
});

test("what Kubernetes writes is read back", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const quoted = `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
      expect(unquote(quoted)).toBe(text);
    }),
  );
});

test("an invalid line is ignored alone, with a warning", () => {
  const findings = new Findings();
  const values = parseDownwardApi('app="web"\nqux=unquoted\nno separator\nx="a=b"\n', "labels", findings);
  expect([...values]).toEqual([
    ["app", "web"],
    ["x", "a=b"],
  ]);
  expect(findings.warnings).toEqual([
    { source: "labels, line 2", message: "the value of qux is not a quoted text; the line is ignored" },
  ]);
});
