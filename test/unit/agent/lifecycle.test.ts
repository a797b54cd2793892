// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Shutdown } from "../../../src/agent/lifecycle.ts";

const runs = new Promise(() => undefined);

test("a signal shuts the agent down with a drain, and is the reason", async () => {
  const outer = new AbortController();
  using shutdown = new Shutdown(outer.signal);
  expect(shutdown.reason()).toBeUndefined();
  outer.abort(new Error("received SIGTERM"));
  await shutdown.untilBegun(runs);
  expect(shutdown.reason()).toBe("received SIGTERM");
  expect(shutdown.shouldDrain).toBe(true);
  expect(shutdown.failure).toBeUndefined();
});

test("an Envoy that exits shuts the agent down without a reason of its own", async () => {
  using shutdown = new Shutdown(new AbortController().signal);
  await shutdown.untilBegun(Promise.resolve());
  expect(shutdown.reason()).toBeUndefined();
});

test("/quitquitquit skips the drain, and so does an earlier POST /drain", async () => {
  using quit = new Shutdown(new AbortController().signal);
  quit.quit();
  await quit.untilBegun(runs);
  expect(quit.shouldDrain).toBe(false);
  expect(quit.reason()).toBe("/quitquitquit called");

  using draining = new Shutdown(new AbortController().signal);
  draining.drainStarted();
  expect(draining.signal.aborted).toBe(false);
  expect(draining.shouldDrain).toBe(false);
});

test("the first failure of a module is what the agent exits with", () => {
  using shutdown = new Shutdown(new AbortController().signal);
  shutdown.fail(new Error("first"));
  shutdown.fail(new Error("second"));
  expect(shutdown.failure?.message).toBe("first");
  expect(shutdown.signal.aborted).toBe(true);
});
