// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { parseProxyFlags } from "../../../../src/config/sources/flags.ts";
import { parseFlags } from "../../../../src/lib/flags.ts";

test("values stand after a space or an equals sign, and may be empty", () => {
  const { values } = parseProxyFlags([
    "--domain",
    "a.b",
    "--proxyLogLevel=",
    "--proxyComponentLogLevel",
    "",
    "--log_as_json",
    "--concurrency=7",
  ]);
  expect(values).toMatchObject({
    domain: "a.b",
    proxyLogLevel: "",
    proxyComponentLogLevel: "",
    log_as_json: true,
    concurrency: 7,
  });
});

test("flags follow positionals, and two hyphens end them", () => {
  expect(parseProxyFlags(["router", "--domain", "x", "--", "--domain"])).toMatchObject({
    values: { domain: "x" },
    positionals: ["router", "--domain"],
  });
});

test("an unknown flag takes a word for its value, but never a role", () => {
  expect(parseProxyFlags(["--foo", "bar", "router"]).positionals).toEqual(["router"]);
  expect(parseProxyFlags(["--foo", "router"]).positionals).toEqual(["router"]);
  expect(parseProxyFlags(["-z", "router"]).positionals).toEqual(["router"]);
  expect(parseProxyFlags(["--foo=bar", "router"]).unknown).toEqual([{ flag: "--foo", message: "unknown flag --foo" }]);
});

test("a flag that may be repeated replaces its default with the first", () => {
  expect(parseProxyFlags([]).values.log_target).toEqual(["stdout"]);
  expect(parseProxyFlags(["--log_target", "a", "--log_target=b"]).values.log_target).toEqual(["a", "b"]);
});

describe("short names", () => {
  const specs = {
    output: { type: "string", default: "", meaning: "", short: "o" },
    short: { type: "bool", default: "false", meaning: "", short: "s" },
  } as const;
  test.each([[["-o", "json"]], [["-ojson"]], [["-o=json"]], [["--output=json"]]])("%j", (args) => {
    expect(parseFlags(args, specs).values.output).toBe("json");
  });
  test("a value that cannot be read is a problem", () => {
    expect(parseFlags(["--short=maybe", "-o"], specs).problems).toEqual([
      { flag: "--short", message: '"maybe" is not true or false' },
      { flag: "--output", message: "flag --output needs a value" },
    ]);
  });
});
