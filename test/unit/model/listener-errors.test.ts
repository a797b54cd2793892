// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { readListenerErrors } from "../../../src/model/listener-errors.ts";

const entry = (details: string, name?: string) => ({ name, error_state: { details } });

test("what Envoy tells twice, with and without the listener's name, is read once", () => {
  const dump = JSON.stringify({ configs: [entry("bad filter"), entry("bad filter", "a"), entry("duplicate b"), {}] });
  expect(readListenerErrors(dump)).toEqual([
    { what: "listener a", reason: "bad filter" },
    { what: "a listener", reason: "duplicate b" },
  ]);
  expect(readListenerErrors("nothing")).toEqual([]);
});
