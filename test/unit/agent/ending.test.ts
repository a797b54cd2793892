// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Ending } from "../../../src/agent/ending.ts";

const runs = new Promise(() => undefined);

test("a signal from outside ends the agent with a drain, and gives the reason", async () => {
  const outer = new AbortController();
  using ending = new Ending(outer.signal);
  expect(ending.reason()).toBeUndefined();
  outer.abort(new Error("received SIGTERM"));
  await ending.until(runs);
  expect(ending.reason()).toBe("received SIGTERM");
  expect(ending.wantsDrain).toBe(true);
  expect(ending.failure).toBeUndefined();
});

test("Envoy's end ends the agent without a reason of its own", async () => {
  using ending = new Ending(new AbortController().signal);
  await ending.until(Promise.resolve());
  expect(ending.reason()).toBeUndefined();
});

test("quitting skips the drain, and so does a drain that was asked for before", async () => {
  using quit = new Ending(new AbortController().signal);
  quit.quit();
  await quit.until(runs);
  expect(quit.wantsDrain).toBe(false);
  expect(quit.reason()).toBe("/quitquitquit called");

  using drained = new Ending(new AbortController().signal);
  drained.drained();
  expect(drained.signal.aborted).toBe(false);
  expect(drained.wantsDrain).toBe(false);
});

test("the first failure of a module is the one that the agent ends with", () => {
  using ending = new Ending(new AbortController().signal);
  ending.fail(new Error("first"));
  ending.fail(new Error("second"));
  expect(ending.failure?.message).toBe("first");
  expect(ending.signal.aborted).toBe(true);
});
