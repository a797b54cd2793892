// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { HeldIdentities } from "../../../src/cert/held-identities.ts";
import { testBudgets } from "../../support/budgets.ts";

const minuteMs = 60_000;

test("of certificates that are renewed long before they end the newest sixteen are kept", () => {
  const held = new HeldIdentities(testBudgets());
  for (let i = 1; i <= 40; i++) {
    const notAfterMs = (1_000 + i) * minuteMs;
    const certificate = { chainPem: `c${String(i)}`, keyPem: "k", spiffeId: "", serial: String(i), notBeforeMs: 0 };
    held.add({ ...certificate, notAfterMs }, i * minuteMs, i * minuteMs);
  }
  expect(held.served?.certificate.serial).toBe("40");
  expect(held.nextChangeMs(41 * minuteMs)).toBe(1_025 * minuteMs);
});

test("how many certificates are held is a budget", () => {
  const budgets = testBudgets({ "held-identities": 2 });
  const held = new HeldIdentities(budgets);
  for (let i = 1; i <= 3; i++) {
    const certificate = { chainPem: `c${String(i)}`, keyPem: "k", spiffeId: "", serial: String(i), notBeforeMs: 0 };
    held.add({ ...certificate, notAfterMs: (10 + i) * minuteMs }, i, i);
  }
  expect(held.nextChangeMs(minuteMs)).toBe(12 * minuteMs);
  expect(budgets.facts().find(({ name }) => name === "held-identities")).toMatchObject({ peak: 2, spentTotal: 1 });
});
