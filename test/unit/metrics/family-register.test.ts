// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { FamilyTable } from "../../../src/metrics/family-table.ts";
import { createTestRegister } from "../../support/test-register.ts";

test("a table of 100,000 families knows who declared each of them first, and no other", () => {
  const table = new FamilyTable();
  const claim = (number: number, label: string) =>
    table.claim(`app_requests_${String(number)}_total`, { label, type: "counter" });
  for (let number = 0; number < 100_000; number++) {
    if (claim(number, number % 2 === 0 ? "one" : "two") !== undefined) expect.fail(`found ${String(number)}`);
  }
  expect(table.size).toBe(100_000);
  for (let number = 0; number < 100_000; number++) {
    if (claim(number, "three")?.label !== (number % 2 === 0 ? "one" : "two")) expect.fail(String(number));
  }
  expect(table.size).toBe(100_000);
});

test("of one target one family more than 50,000 is rejected with the limit's name; others are not affected", () => {
  const { register, part } = createTestRegister();
  const [app, other, own] = [part("app"), part("other"), { label: "agent", families: undefined, isTrusted: true }];
  for (let number = 0; number < 50_000; number++) register.declare(`f${String(number)}`, "gauge", app);
  expect(register.declare("istio_agent_target_up", "gauge", own)).toBe("first");
  expect(register.declare("f7", "gauge", other)).toBe("repeated");
  expect(register.declare("g", "gauge", other)).toBe("first");
  expect(() => register.declare("more", "gauge", app)).toThrow(
    "limit scrape-families-of-target of 50000 items is reached",
  );
  expect(() => register.declare("f7", "gauge", app)).toThrow("limit scrape-families-of-target of 50000 items");
});

test("a family that is declared 40,000 times with another type is one line of log", () => {
  const { register, part, records, duplicates } = createTestRegister();
  const app = part("app");
  register.declare("a", "gauge", app);
  for (let time = 0; time < 40_000; time++) expect(register.declare("a", "counter", app)).toBe("conflicting");
  expect(duplicates.value()).toBe(40_000);
  expect(records.map(({ level, fields }) => [level, fields["family"], fields["secondType"]])).toEqual([
    ["warn", "a", "counter"],
  ]);
});

test("10,000 families with two types each are few lines of log, and long names are cut", () => {
  const { register, part, records } = createTestRegister();
  const app = part("app");
  for (let number = 0; number < 10_000; number++) {
    const name = `${"x".repeat(200)}${String(number)}`;
    register.declare(name, "gauge", app);
    register.declare(name, "counter", app);
  }
  for (let number = 0; number < 10_000; number++) {
    register.declare(`y${String(number)}`, "gauge", app);
    register.declare(`y${String(number)}`, `type${String(number)}`, app);
  }
  expect(records.length).toBeLessThanOrEqual(10);
  expect(JSON.stringify(records).length).toBeLessThan(10_000);
});
