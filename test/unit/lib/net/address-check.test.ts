// SPDX-License-Identifier: Apache-2.0
import { isIP } from "node:net";
import { expect, test } from "vitest";
import { compileAddressCheck } from "../../../../src/lib/net/address-check.ts";

test("addresses are recognised as without it", () => {
  compileAddressCheck();
  const families = { "::1": 6, "fe80::1%eth0": 6, "::ffff:192.0.2.1": 6, "1:2:3:4:5:6:7:8": 6, "1:2:3:4:5:6:7:8:9": 0 };
  for (const [address, family] of Object.entries(families)) expect(isIP(address), address).toBe(family);
  expect([isIP("192.0.2.1"), isIP("istiod.istio-system.svc")]).toEqual([4, 0]);
});
