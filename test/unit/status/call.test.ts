// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { isLoopback } from "../../../src/status/call.ts";

test.each([
  ["127.0.0.1", true],
  ["127.0.0.6", true],
  ["127.255.255.255", true],
  ["::1", true],
  ["::ffff:127.0.0.1", true],
  ["::FFFF:127.0.0.6", true],
  ["::6", false],
  ["10.1.2.3", false],
  ["8.8.8.8", false],
  ["::ffff:10.1.2.3", false],
  ["127.0.0.1.evil", false],
  ["", false],
  [undefined, false],
])("C3 the peer %s is on loopback: %s", (address, expected) => {
  expect(isLoopback(address)).toBe(expected);
});
