// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parse } from "yaml";
import { readOutputFormat, renderOutput } from "../../../../src/cli/output/output-format.ts";

test("--json is --output json, and nothing else beside it", () => {
  expect(readOutputFormat("x", { output: "text", json: true })).toBe("json");
  expect(readOutputFormat("x", { output: "json", json: true })).toBe("json");
  expect(readOutputFormat("x", { output: "yaml", json: false })).toBe("yaml");
  expect(() => readOutputFormat("x", { output: "yaml", json: true })).toThrow("--json contradicts --output yaml");
});

test("an unknown format is named with the nearest one", () => {
  expect(() => readOutputFormat("x", { output: "jsn", json: false })).toThrow(
    'attache x: --output: "jsn" is not one of text, json, yaml (did you mean json?)',
  );
});

test("text of a peer cannot control the terminal, in JSON and in YAML", async () => {
  const value = { name: "\u009b2J\u202eevil\u001b[31m", plain: "ü" };
  for (const format of ["json", "yaml"] as const) {
    const shown = await renderOutput(format, value, () => "text");
    expect(shown).not.toMatch(/[[\p{Cc}\p{Bidi_Control}]--[\n]]/v);
    expect(parse(shown)).toEqual(value);
  }
});

test("a document is rendered in each format", async () => {
  const value = { a: [1, "x: y"] };
  expect(await renderOutput("json", value, () => "text")).toBe('{\n  "a": [\n    1,\n    "x: y"\n  ]\n}\n');
  expect(await renderOutput("yaml", value, () => "text")).toBe('a:\n  - 1\n  - "x: y"\n');
  expect(await renderOutput("text", value, () => "text")).toBe("text");
});
