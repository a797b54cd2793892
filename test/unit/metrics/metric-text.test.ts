// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { convertedSamples, openMetricsSamples } from "../../../src/metrics/format-conversion.ts";
import { mapLabels, parseDeclaration, parseSample } from "../../../src/metrics/metric-text.ts";
import { PartRules } from "../../../src/metrics/part-rules.ts";
import { createTestRegister } from "../../support/test-register.ts";
import { processorTime } from "../../support/processor-time.ts";

test.each([
  ["# TYPE a counter", { word: "TYPE", family: "a", rest: "counter" }],
  ["#  HELP\ta   Help of  a.", { word: "HELP", family: "a", rest: "Help of  a." }],
  ["# HELP a", { word: "HELP", family: "a", rest: "" }],
  ["# EOF", { word: "EOF", family: "", rest: "" }],
  ["# HELPFUL a", undefined],
  ["#TYPE a counter", undefined],
  ["# a remark", undefined],
  ["#", undefined],
  ['# TYPE "a.b c" counter', { word: "TYPE", family: "a.b c", rest: "counter" }],
  ['# HELP "a\\"b\\\\c" Help "x".', { word: "HELP", family: 'a"b\\c', rest: 'Help "x".' }],
  ['# TYPE "a counter', { word: "TYPE", family: "", rest: "" }],
])("the comment %j", (line, expected) => {
  expect(parseDeclaration(line)).toEqual(expected);
});

const none = { labels: [], timestamp: undefined, exemplar: undefined };

test.each([
  ["a 1", { ...none, name: "a", value: "1" }],
  ["a\t 1  1700 ", { ...none, name: "a", value: "1", timestamp: "1700" }],
  ["a 1 # {} 1", { ...none, name: "a", value: "1", exemplar: { labels: [], value: "1", timestamp: undefined } }],
  ["a 1 # nothing", { ...none, name: "a", value: "1" }],
  [
    'a{b="}\\" 7",c="x"} +Inf 17.5 # {t="x"} 1 2.5',
    {
      name: "a",
      labels: [
        { name: "b", value: '}\\" 7' },
        { name: "c", value: "x" },
      ],
      value: "+Inf",
      timestamp: "17.5",
      exemplar: { labels: [{ name: "t", value: "x" }], value: "1", timestamp: "2.5" },
    },
  ],
  ['{"a.b",c="d"} 1', { ...none, name: "a.b", labels: [{ name: "c", value: "d" }], value: "1" }],
  ['{ c = "d" , "a.b" , } 1', { ...none, name: "a.b", labels: [{ name: "c", value: "d" }], value: "1" }],
  ['a{"b c"="d"} 1', { ...none, name: "a", labels: [{ name: "b c", value: "d" }], value: "1" }],
  ["a.b-c/d 1", { ...none, name: "a.b-c/d", value: "1" }],
  ['{"a"} 1 2 3', undefined],
  ['a{"b"} 1', undefined],
  ['{b="c"} 1', undefined],
  ["a{b=c} 1", undefined],
  ['a{b="c', undefined],
  ['a{b="c"}', undefined],
  ["a", undefined],
  ["", undefined],
])("the sample %j", (line, expected) => {
  expect(parseSample(line)).toEqual(expected);
});

test.each([
  ['a{le="1",x="le=\\"2\\"", quantile="3"} 1', 'a{le="<1>",x="le=\\"2\\"", quantile="<3>"} 1'],
  ['{"a.le",le="1"} 1', '{"a.le",le="<1>"} 1'],
  ['a{le="1', 'a{le="<1>'],
  ["a{le=1} 1", "a{le=1} 1"],
  ["a 1", "a 1"],
])("the labels of %j", (line, expected) => {
  expect(mapLabels(line, (name, value) => (name === "x" ? value : `<${value}>`))).toBe(expected);
});

const length = 250_000;
const hostile: readonly string[] = [
  `# HELP a${" ".repeat(length)}x\rx`,
  `# HELP a ${" x".repeat(length / 2)}`,
  `#${" ".repeat(length)}`,
  `${"\r".repeat(length)}x`,
  `a{${'le="'.repeat(length / 4)}`,
  `a{${'b="\\",'.repeat(length / 6)}`,
  `a{${"{".repeat(length)}`,
  `${"a".repeat(length)}{`,
  `a ${" ".repeat(length)}#`,
];

test.each(hostile)("a line of 250 KB costs no more than its length: %.12j", (line) => {
  const { register, part } = createTestRegister();
  const elapsedMs = processorTime();
  const formats = { from: "text", to: "openmetrics", names: "values" } as const;
  new PartRules(register, part("app"), formats).comment(line);
  openMetricsSamples(Buffer.from(`${line}\n\n`), "histogram");
  convertedSamples(Buffer.from(`${line}\n`), "histogram", formats);
  // with backtracking each of these takes seconds
  expect(elapsedMs()).toBeLessThan(500);
});
