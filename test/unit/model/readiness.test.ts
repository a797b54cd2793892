// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Readiness } from "../../../src/model/readiness.ts";

test("the detail of a hold is cut: it may be a peer's text", () => {
  const readiness = new Readiness(() => 0);
  const hold = readiness.hold("certificate", "a".repeat(100_000));
  expect(readiness.pending()[0]?.detail).toBe(`${"a".repeat(500)}…`);
  hold.set("b".repeat(501));
  expect(readiness.pending()[0]?.detail).toBe(`${"b".repeat(500)}…`);
});
