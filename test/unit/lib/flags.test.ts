// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { type FlagSpecs, parseFlags } from "../../../src/lib/flags.ts";

const specs = {
  name: { type: "string", default: "default-name", meaning: "a name", short: "n" },
  count: { type: "int", default: "3", meaning: "a count", short: "c" },
  json: { type: "bool", default: "false", meaning: "as JSON" },
  target: { type: "strings", default: "stdout", meaning: "targets" },
} as const satisfies FlagSpecs;

const parse = (...args: readonly string[]) => parseFlags(args, specs);

test("without flags the values are the defaults, and none is given", () => {
  const { values, given, positionals, unknown, problems } = parse();
  expect(values).toEqual({ name: "default-name", count: 3, json: false, target: ["stdout"] });
  expect([given.size, positionals, unknown, problems]).toEqual([0, [], [], []]);
});

describe("forms", () => {
  test.each([
    [["--name", "x"], { name: "x" }],
    [["--name=x"], { name: "x" }],
    [["--name=a=b"], { name: "a=b" }],
    [["--name="], { name: "" }],
    [["--name", ""], { name: "" }],
    [["--name", "--json"], { name: "--json", json: false }],
    [["-n", "x"], { name: "x" }],
    [["-n=x"], { name: "x" }],
    [["-nx"], { name: "x" }],
    [["--count", "-5"], { count: -5 }],
    [["-c7"], { count: 7 }],
    [["--json"], { json: true }],
    [["--json=false"], { json: false }],
    [["--json=T"], { json: true }],
    [["--name", "x", "--name", "y"], { name: "y" }],
  ] as const)("%j", (args, expected) => {
    const { values, problems, unknown } = parse(...args);
    expect(values).toMatchObject(expected);
    expect([problems, unknown]).toEqual([[], []]);
  });

  test("a bool takes no following argument", () => {
    expect(parse("--json", "false")).toMatchObject({ values: { json: true }, positionals: ["false"] });
  });

  test("the first of repeated values replaces the default, the others are added", () => {
    const { values, given } = parse("--target", "stderr", "--target=file");
    expect(values.target).toEqual(["stderr", "file"]);
    expect([...given]).toEqual(["target"]);
  });
});

describe("positionals", () => {
  test("flags may follow them", () => {
    expect(parse("GET", "--count", "1", "path")).toMatchObject({ positionals: ["GET", "path"], values: { count: 1 } });
  });

  test("everything after -- is one, and a single hyphen too", () => {
    expect(parse("-", "--", "--json", "-x")).toMatchObject({
      positionals: ["-", "--json", "-x"],
      values: { json: false },
      unknown: [],
    });
  });
});

describe("mistakes are reported, one line each", () => {
  test.each([
    [["--count", "many"], "--count", '"many" is not a whole number'],
    [["--count=1.5"], "--count", '"1.5" is not a whole number'],
    [["--json=yes"], "--json", '"yes" is not true or false'],
    [["--name"], "--name", "flag --name needs a value"],
  ])("%j", (args, flag, message) => {
    const { problems, values } = parse(...args);
    expect(problems).toEqual([{ flag, message }]);
    expect(values).toMatchObject({ name: "default-name", count: 3, json: false });
  });

  test("an unknown flag is named with the nearest known one", () => {
    expect(parse("--cuont", "1").unknown).toEqual([
      { flag: "--cuont", message: "unknown flag --cuont (did you mean --count?)" },
    ]);
    expect(parse("-x").unknown).toEqual([{ flag: "-x", message: "unknown flag -x" }]);
  });

  test("the argument after an unknown flag is its value unless the caller keeps it", () => {
    const isRole = (text: string): boolean => text === "sidecar";
    const { positionals, unknown } = parseFlags(["--new", "value", "--newer", "sidecar", "--newest=1"], specs, isRole);
    expect(positionals).toEqual(["sidecar"]);
    expect(unknown.map(({ flag }) => flag)).toEqual(["--new", "--newer", "--newest"]);
  });
});
