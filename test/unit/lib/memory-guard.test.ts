// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { createBudgets } from "../../../src/lib/budget-set.ts";
import { HostMemoryGuard, type MemoryReading } from "../../../src/lib/memory-guard.ts";
import { limits } from "../../../src/model/limits.ts";
import { testHost } from "../../support/budgets.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const sizes = { "container-memory-bytes": 1_000, "heap-bytes": 1_000 };

/** A guard whose readings the test sets. */
function startGuard() {
  const clock = new FakeClock();
  const counts = { reads: 0, short: 0 };
  const reading: { -readonly [key in keyof MemoryReading]: MemoryReading[key] } = { containerBytes: 0, heapBytes: 0 };
  const spent: string[] = [];
  const budgets = createBudgets(limits, testHost, {
    sizes,
    onSpent: ({ name }) => spent.push(name),
    guard: (of) =>
      new HostMemoryGuard({
        container: of("container-memory-bytes"),
        heap: of("heap-bytes"),
        clock,
        read: () => {
          counts.reads++;
          return { ...reading };
        },
        onShort: () => counts.short++,
      }),
  });
  return { budgets, memory: budgets.memory, clock, reading, counts, spent };
}

test("nothing is read before anything asks, and then at most every 100 ms", async () => {
  const { memory, clock, counts } = startGuard();
  expect(counts.reads).toBe(0);
  for (let time = 0; time < 10; time++) expect(memory.isShort()).toBe(false);
  expect(counts.reads).toBe(1);
  await clock.advance(99);
  expect(memory.isShort()).toBe(false);
  expect(counts.reads).toBe(1);
  await clock.advance(1);
  expect(memory.isShort()).toBe(false);
  expect(counts.reads).toBe(2);
});

test("near a limit, it is read ten times as often", async () => {
  const { memory, clock, reading, counts } = startGuard();
  reading.containerBytes = 800;
  expect(memory.isShort()).toBe(false);
  await clock.advance(10);
  reading.containerBytes = 1_001;
  expect(memory.isShort()).toBe(true);
  expect(counts.reads).toBe(2);
});

test.each([
  ["the container's memory", { containerBytes: 1_001, heapBytes: 0 }, "container-memory-bytes"],
  ["the engine's heap", { containerBytes: 0, heapBytes: 1_001 }, "heap-bytes"],
  ["the heap, where the container has no limit", { containerBytes: undefined, heapBytes: 1_001 }, "heap-bytes"],
])("%s is short above its limit, which rejections name, and it is reported", async (_title, given, name) => {
  const { memory, clock, reading, counts, spent } = startGuard();
  expect(memory.isShort()).toBe(false);
  Object.assign(reading, given);
  await clock.advance(100);
  expect(memory.isShort()).toBe(true);
  expect(memory.text).toBe(`limit ${name} of 1000 bytes is reached`);
  expect(counts.short).toBe(1);
  expect(spent).toEqual([name]);
});

test("short memory stays short until a sixteenth of the limit is free again", async () => {
  const { memory, clock, reading } = startGuard();
  const isShortAt = async (bytes: number): Promise<boolean> => {
    reading.containerBytes = bytes;
    await clock.advance(100);
    return memory.isShort();
  };
  expect(await isShortAt(1_000)).toBe(false);
  expect(await isShortAt(1_001)).toBe(true);
  expect(await isShortAt(960)).toBe(true);
  expect(await isShortAt(937)).toBe(false);
  expect(await isShortAt(960)).toBe(false);
});

test("the last reading and the highest one are shown as those of a budget", async () => {
  const { budgets, memory, clock, reading } = startGuard();
  for (const bytes of [300, 1_200, 200]) {
    reading.containerBytes = bytes;
    await clock.advance(100);
    memory.isShort();
  }
  const facts = budgets.facts().find(({ name }) => name === "container-memory-bytes");
  expect(facts).toMatchObject({ used: 200, peak: 1_200, spentTotal: 1 });
});
