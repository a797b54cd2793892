// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseYaml } from "../../../../src/config/sources/yaml.ts";
import { describeError } from "../../../../src/lib/errors.ts";

test.each([
  ["0644", 0o644],
  ["-0_17", -15],
  ["0", 0],
  ["1_000", 1_000],
  ["-12", -12],
  ["0x10", 16],
  ["089", 89],
  ["18446744073709551615", JSON.rawJSON("18446744073709551615")],
  ["0xffffffffffffffff", JSON.rawJSON("18446744073709551615")],
  ["1.50", 1.5],
  ["1e3", 1_000],
  ["yes", true],
  ["Off", false],
  ["~", null],
  ["2020-01-01", "2020-01-01"],
  ["1:30", "1:30"],
  ["'0644'", "0644"],
  ["0o17", 0o17],
])("%s is what Kubernetes' reader takes it for", (text, expected) => {
  expect(parseYaml(`a: ${text}`)).toEqual({ a: expected });
});

test("the first document counts, the last of equal keys, and merged maps", () => {
  expect(parseYaml("a: 1\na: 2\nbase: &d {b: 1}\nmerged:\n  <<: *d\n  c: 2\n---\na: 3\n")).toEqual({
    a: 2,
    base: { b: 1 },
    merged: { b: 1, c: 2 },
  });
});

test.each([
  'a:\n  password: "s3cret\nb: [s3cret',
  '{"password":"s3cret" "b":1}',
  "password: s3cret: x",
  "- password: s3cret\n s3cret",
])("an error says where it is and shows nothing of the text: %j", (text) => {
  let error: unknown;
  try {
    parseYaml(text);
  } catch (thrown) {
    error = thrown;
  }
  expect(describeError(error)).toMatch(/ at line \d+, column \d+$/);
  expect(describeError(error)).not.toContain("s3cret");
});
