// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemCode } from "../../../../src/lib/errors.ts";
import { LineOutput } from "../../../../src/lib/log/line-output.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { eventually } from "../../../support/eventually.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

/** A pipe whose two ends are descriptors on which nothing waits. */
async function openPipe() {
  const directory = await temporaryDirectory();
  const path = join(directory.path, "pipe");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const block = Buffer.alloc(64 * 1024);
  return {
    writer,
    /** What is in the pipe. */
    read(): string {
      try {
        return block.toString("latin1", 0, readSync(reader, block));
      } catch (error) {
        if (systemCode(error) === "EAGAIN") return "";
        throw error;
      }
    },
    async [Symbol.asyncDispose]() {
      closeSync(reader);
      closeSync(writer);
      await directory[Symbol.asyncDispose]();
    },
  };
}

const line = (number: number): string => `${String(number)} ${"x".repeat(9_990)}\n`;
const numbers = (text: string): readonly number[] => text.trimEnd().split("\n").map(Number.parseFloat);

test("lines that a full pipe does not take are kept, and written whole and in order when it is read", async () => {
  await using pipe = await openPipe();
  const output = new LineOutput(pipe.writer, () => undefined);
  const startMs = performance.now();
  for (let number = 0; number < 50; number++) output.write(line(number));
  expect(performance.now() - startMs).toBeLessThan(200);
  let text = "";
  await eventually(
    () => {
      text += pipe.read();
      expect(text.split("\n")).toHaveLength(51);
    },
    { withinMs: 5_000 },
  );
  expect(numbers(text)).toEqual(Array.from({ length: 50 }, (_, number) => number));
  expect(
    text.split("\n").every((each) => each === "" || each.length === line(0).length - 1 + each.indexOf(" ") - 1),
  ).toBe(true);
  await output.end();
});

test("a pipe that nobody reads holds everything up for a second once, then lines are lost and counted", async () => {
  await using pipe = await openPipe();
  const lost: number[] = [];
  const output = new LineOutput(pipe.writer, (lines) => lost.push(lines));
  const startMs = performance.now();
  for (let number = 0; number < 300; number++) output.write(line(number));
  expect(performance.now() - startMs).toBeLessThan(2_500);
  let text = "";
  await eventually(
    () => {
      text += pipe.read();
      expect(lost).toHaveLength(1);
    },
    { withinMs: 10_000 },
  );
  text += pipe.read();
  const [count = 0] = lost;
  expect(count).toBeGreaterThan(100);
  expect(numbers(text)).toEqual(Array.from({ length: 300 - count }, (_, number) => number));
  await output.end();
});

test("bytes that wait are counted against the budget, from before it was set too, and lost lines are rejections", async () => {
  await using pipe = await openPipe();
  const output = new LineOutput(pipe.writer, () => undefined);
  for (let number = 0; number < 30; number++) output.write(line(number));
  const budgets = testBudgets({ "log-waiting-bytes": 300_000 });
  const budget = budgets.of("log-waiting-bytes");
  output.useBudget(budget);
  for (let number = 30; number < 100; number++) output.write(line(number));
  expect(budget.used).toBeGreaterThan(200_000);
  expect(budget.used).toBeLessThanOrEqual(300_000);
  expect(budgets.facts().find(({ name }) => name === "log-waiting-bytes")?.spentTotal).toBeGreaterThan(10);
  await eventually(
    () => {
      pipe.read();
      expect(budget.used).toBe(0);
    },
    { withinMs: 10_000 },
  );
  await output.end();
});

test("the end does not wait for a reader that takes nothing", async () => {
  await using pipe = await openPipe();
  const output = new LineOutput(pipe.writer, () => undefined);
  for (let number = 0; number < 20; number++) output.write(line(number));
  const startMs = performance.now();
  await output.end();
  expect(performance.now() - startMs).toBeLessThan(2_000);
});
