// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { createMergedScrape } from "../../../src/metrics/merged-scrape.ts";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { createTestMetrics } from "../../support/agent-metrics.ts";
import { testBudgets } from "../../support/budgets.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { freePorts } from "../../support/free-ports.ts";
import { testLog } from "../../support/test-log.ts";

async function startScrapes() {
  const [port = 0] = await freePorts(1);
  const [clock, { log, records }] = [new FakeClock(), testLog()];
  const targets = [{ host: "127.0.0.1", scheme: "http", port, path: "/" } as const];
  const deps = { log, clock, budgets: testBudgets() };
  const merged = createMergedScrape({ envoyPort: undefined, targets }, createTestMetrics(), deps);
  const none = { accept: undefined, userAgent: undefined, timeoutSeconds: undefined, waitedMs: 0, query: "" };
  const request = { ...none, turn: () => Promise.resolve(), preempted: new AbortController().signal };
  const sink = { begin: () => undefined, write: () => Promise.resolve() };
  return {
    port,
    lines: () => records.map(({ message, fields }) => [message, fields["failures"], fields["lastedMs"]]),
    /** One scrape every second. */
    scrape: async (times: number): Promise<void> => {
      for (let time = 0; time < times; time++) {
        await merged.scrape(request, sink, new AbortController().signal);
        await clock.advance(1_000);
      }
    },
  };
}

test("C21: a scrape target that is down is one line when that begins, one a minute, and one when it responds again", async () => {
  const { port, lines, scrape } = await startScrapes();
  await scrape(130);
  const failed = "scrape target failed";
  const expected = [
    [failed, undefined, undefined],
    [failed, 60, 60_000],
    [failed, 60, 120_000],
  ];
  expect(lines()).toEqual(expected);
  await using _app = await startFakeApp(answer(200, "# TYPE a gauge\na 1\n"), "127.0.0.1", port);
  await scrape(3);
  expect(lines()).toEqual([...expected, ["scrape target responds again", 130, 130_000]]);
});

test("C21: lines that are not metrics in each response are one line a minute, until there are none", async () => {
  const { port, lines, scrape } = await startScrapes();
  let body = "oops\na 1\n";
  await using _app = await startFakeApp((_request, response) => response.end(`a 1\n${body}`), "127.0.0.1", port);
  await scrape(50);
  body = "a 2\n";
  await scrape(2);
  expect(lines()).toEqual([
    ["scrape target sends lines that are not metrics; they are left out", undefined, undefined],
    ["scrape target sends only metrics again", 50, 50_000],
  ]);
});
