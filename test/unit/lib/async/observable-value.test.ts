// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ObservableValue } from "../../../../src/lib/async/observable-value.ts";

test("a reader gets the current value at once, then every change, until it is stopped", async () => {
  const watched = new ObservableValue("first");
  const stop = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const value of watched.watch(stop.signal)) {
      seen.push(value);
      if (value === "third") stop.abort();
    }
  })();
  await Promise.resolve();
  watched.set("second");
  await new Promise((resolve) => setImmediate(resolve));
  watched.set("third");
  await reading;
  expect(seen.at(0)).toBe("first");
  expect(seen.at(-1)).toBe("third");
});

test("a slow reader misses values in between, never the last one", async () => {
  const watched = new ObservableValue<number>();
  const stop = new AbortController();
  const reader = watched.watch(stop.signal);
  for (const value of [1, 2, 3]) watched.set(value);
  expect((await reader.next()).value).toBe(3);
  const waiting = reader.next();
  stop.abort();
  expect((await waiting).done).toBe(true);
});
