// SPDX-License-Identifier: Apache-2.0
import { parseDocument } from "yaml";
import { expect, test } from "vitest";
import { checkExpandedSize, checkYamlSize } from "../../../src/lib/yaml-size.ts";

const nestedMaps = Array.from({ length: 101 }, (_, level) => `${" ".repeat(level)}a:`).join("\n");

test.each([
  ["lists in each other", "[".repeat(150_000)],
  ["objects in each other", "{a: ".repeat(150_000)],
  ["block lists on one line", "- ".repeat(150_000)],
  ["explicit names on one line", "? ".repeat(150_000)],
  ["block maps, one level a line", nestedMaps],
])("%s are rejected for their depth", (_, text) => {
  expect(() => {
    checkYamlSize(text);
  }).toThrow("is nested deeper than 100 levels");
});

test.each([
  ["empty lists", `[${"[],".repeat(10_000)}]`],
  ["texts", `[${"x,".repeat(10_000)}]`],
  ["names", "a: b\n".repeat(5_000)],
  ["items", "- a\n".repeat(5_001)],
  ["lists within items", "- - - a\n".repeat(3_000)],
])("more %s than fit into the heap are rejected", (_, text) => {
  expect(() => {
    checkYamlSize(text);
  }).toThrow("has more than 10000 names and values");
});

test("a document of ordinary size passes, however long its texts and comments are", () => {
  const block = `a: |\n${"  - [{?: text of a certificate\n".repeat(20_000)}`;
  const comments = "# - [ a comment\n\n".repeat(20_000);
  const services = Array.from(
    { length: 600 },
    (_, i) => `- name: service-${String(i)}\n  ports: [80, {number: 443}]\n`,
  );
  checkYamlSize(`${comments}${block}\nservices:\n${services.join("")}`);
  checkYamlSize(nestedMaps.split("\n").slice(0, 90).join("\n"));
});

test("many aliases are rejected", () => {
  expect(() => {
    checkYamlSize(`a: &a 1\nb: [${"*a, ".repeat(501)}]\n`);
  }).toThrow("has more than 500 aliases");
});

test.each([
  ["aliases", (name: string) => `[*${name}, *${name}]`],
  ["merge keys", (name: string) => `{<<: [*${name}, *${name}]}`],
])("%s that double at each level are counted, not followed", (_, twice) => {
  const levels = Array.from(
    { length: 60 },
    (_unused, i) => `a${String(i + 1)}: &a${String(i + 1)} ${twice(`a${String(i)}`)}`,
  );
  const text = `a0: &a0 {k: v}\n${levels.join("\n")}\n`;
  checkYamlSize(text);
  expect(() => {
    checkExpandedSize(parseDocument(text, { merge: true }));
  }).toThrow("has more than 20000 names and values, with its aliases replaced");
});

test("a list that has itself is rejected", () => {
  expect(() => {
    checkExpandedSize(parseDocument("&a [*a]"));
  }).toThrow("with its aliases replaced");
});
