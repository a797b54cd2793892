// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { closeName, nearestName } from "../../../src/lib/nearest-name.ts";

const names = ["PROXY_CONFIG", "POD_NAME", "CA_ADDR", "MINIMUM_DRAIN_DURATION", "PROXY"];

test("a misspelt name is recognised by one letter, a long one by two", () => {
  expect(closeName("PROXY_CONFG", names)).toBe("PROXY_CONFIG");
  expect(closeName("CA_ADRD", names)).toBe("CA_ADDR");
  expect(closeName("MINIMUM_DRAIN_DURATN", names)).toBe("MINIMUM_DRAIN_DURATION");
});

test("another name is no misspelling, nor is a short one", () => {
  expect(closeName("NODE_NAME", names)).toBeUndefined();
  expect(closeName("PROXY_CNFG", names)).toBeUndefined();
  expect(closeName("PROX", names)).toBeUndefined();
  expect(nearestName("PROXY_CNFG", names)).toBe("PROXY_CONFIG");
});
