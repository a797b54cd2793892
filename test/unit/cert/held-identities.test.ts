// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { HeldIdentities } from "../../../src/cert/held-identities.ts";

const minuteMs = 60_000;

test("of certificates that are renewed long before they end the newest sixteen are kept", () => {
  const held = new HeldIdentities();
  for (let i = 1; i <= 40; i++) {
    const notAfterMs = (1_000 + i) * minuteMs;
    const certificate = { chainPem: `c${String(i)}`, keyPem: "k", spiffeId: "", serial: String(i), notBeforeMs: 0 };
    held.add({ ...certificate, notAfterMs }, i * minuteMs, i * minuteMs);
  }
  expect(held.served?.certificate.serial).toBe("40");
  expect(held.nextChangeMs(41 * minuteMs)).toBe(1_025 * minuteMs);
});
