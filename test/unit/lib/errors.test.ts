// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { describeError, systemCode } from "../../../src/lib/errors.ts";

test("an error is told with its causes, on one line, each thing once", () => {
  const root = new Error("connect ECONNREFUSED\n127.0.0.1:1");
  const middle = new Error(`UNAVAILABLE: ${root.message}`, { cause: root });
  const outer = new Error(`sign at ca:1: ${root.message}`, { cause: middle });
  expect(describeError(outer)).toBe("sign at ca:1: connect ECONNREFUSED 127.0.0.1:1");
  expect(describeError(new Error("read token", { cause: new Error("ENOENT") }))).toBe("read token: ENOENT");
});

test("several failures at once are told together", () => {
  expect(describeError(new AggregateError([new Error("v4 refused"), new Error("v6 refused")], ""))).toBe(
    "v4 refused; v6 refused",
  );
});

test("what is thrown without being an error is told as text", () => {
  expect(describeError("plain")).toBe("plain");
  expect(systemCode(new Error("no code"))).toBeUndefined();
  expect(systemCode(Object.assign(new Error("gone"), { code: "ENOENT" }))).toBe("ENOENT");
});
