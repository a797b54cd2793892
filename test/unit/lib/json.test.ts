// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import {
  DocumentLimitError,
  isJsonList,
  isJsonObject,
  listOf,
  objectOf,
  objectsOf,
  parseJson,
  parseJsonObject,
  textOf,
  textsOf,
  toJsonValue,
  tryParseJson,
} from "../../../src/lib/json.ts";

describe("an integer above 2^53 keeps its digits", () => {
  test.each([
    "18446744073709551615",
    "-9223372036854775809",
    "9007199254740993",
    `1${"0".repeat(400)}`,
    '{"a":[{"b":18446744073709551615}],"c":"18446744073709551615"}',
  ])("%s", (text) => {
    expect(JSON.stringify(parseJson(text))).toBe(text);
  });

  test("also as a big integer, and in a value that is made plain twice", () => {
    const value = toJsonValue({ a: 18_446_744_073_709_551_615n });
    expect(JSON.stringify(toJsonValue(value))).toBe('{"a":18446744073709551615}');
  });
});

test.each(["9007199254740991", "1.5", "1e300", "0.1234567890123456789", '"0123456789012345"', "[0,-1]"])(
  "%s is what the language's own parser gives",
  (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  },
);

test("an exact integer is neither an object nor a list", () => {
  const value = parseJson("18446744073709551615");
  expect([isJsonObject(value), isJsonList(value), objectOf(value), listOf(value)]).toEqual([false, false, {}, []]);
});

test("a text that is not JSON throws, or is undefined", () => {
  expect(() => parseJson("{")).toThrow(SyntaxError);
  expect([tryParseJson("{"), parseJsonObject("[]"), parseJsonObject("{")]).toEqual([undefined, undefined, undefined]);
  expect(parseJsonObject('{"__proto__":1}')).toEqual(JSON.parse('{"__proto__":1}'));
});

test("values of another form are left out", () => {
  const mixed = [{ a: 1 }, "b", null, 2, []];
  expect([objectsOf(mixed), textsOf(mixed), textOf(1), textOf("b")]).toEqual([[{ a: 1 }], ["b"], "", "b"]);
});

test("what JSON cannot hold becomes what it can", () => {
  expect(toJsonValue({ "\ud800": ["\udfff", Number.NaN, () => 1, undefined] })).toEqual({
    "\ufffd": ["\ufffd", "NaN", null, null],
  });
});

describe("a text that is too large to parse is rejected before anything is made of it:", () => {
  test.each([
    ["lists in each other", "[".repeat(150_000) + "]".repeat(150_000), "is nested deeper than 100 levels"],
    ["objects in each other", `${'{"a":'.repeat(101)}1${"}".repeat(101)}`, "is nested deeper than 100 levels"],
    ["values", `[${"[],".repeat(30_000)}1]`, "has more than 50000 names and values"],
    [
      "names",
      `{${Array.from({ length: 30_000 }, (_, i) => `"${String(i)}":1`).join(",")}}`,
      "has more than 50000 names and values",
    ],
  ])("%s", (_, text, problem) => {
    expect(() => parseJson(text)).toThrow(new DocumentLimitError(problem));
    expect(tryParseJson(text)).toBeUndefined();
  });

  test("but not what stands in strings, and not 100 levels", () => {
    const text = JSON.stringify({ a: `${"[{,:".repeat(50_000)}\\"`, ["[".repeat(200)]: "\\" });
    expect(parseJson(text)).toEqual(JSON.parse(text));
    expect(JSON.stringify(parseJson("[".repeat(100) + "]".repeat(100)))).toHaveLength(200);
  });
});

test("a text of long integers has a lower limit: 50,000 of them would fill a heap of 16 MB", () => {
  const listOfIntegers = (count: number, value: string): string => `[${new Array(count).fill(value).join(",")}]`;
  const limit = "has more than 5000 names and values and integers of 16 digits or more";
  expect(() => parseJson(listOfIntegers(49_000, "123456789012345678"))).toThrow(limit);
  expect(() => parseJson(`${listOfIntegers(5_100, "1").slice(0, -1)},123456789012345678,2]`)).toThrow(limit);
  expect(parseJson(listOfIntegers(4_900, "123456789012345678"))).toHaveLength(4_900);
  expect(parseJson(listOfIntegers(49_000, '"123456789012345678"'))).toHaveLength(49_000);
  expect(parseJson(listOfIntegers(49_000, "12345678"))).toHaveLength(49_000);
});
