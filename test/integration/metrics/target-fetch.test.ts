// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import { expect, test } from "vitest";
import { TargetFetch } from "../../../src/metrics/target-fetch.ts";
import { testBudgets } from "../../support/budgets.ts";
import { listening } from "../../support/listening.ts";

test("a large body is read once per turn of the event loop, so that probes are served in between", async () => {
  const body = Buffer.from(`# TYPE app gauge\n${'app{n="1"} 1\n'.repeat(600_000)}`);
  await using app = await listening(
    createServer((_request, response) => {
      response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": body.byteLength });
      response.end(body);
    }),
  );
  const target = { host: "127.0.0.1", scheme: "http", port: app.port, path: "/" } as const;
  const fetch = new TargetFetch({
    target,
    headers: {},
    limitBody: false,
    budgets: testBudgets({ "scrape-held-bytes-of-target": 1 }),
  });
  expect(await fetch.decided).toMatchObject({ kind: "usable" });
  let turn = 0;
  let isOver = false;
  const count = (): void => {
    turn++;
    if (!isOver) setImmediate(count);
  };
  count();
  const turns: number[] = [];
  let bytes = 0;
  await fetch.emit((piece) => {
    turns.push(turn);
    bytes += piece.byteLength;
    return Promise.resolve();
  });
  isOver = true;
  expect(bytes).toBe(body.byteLength);
  expect(turns.length).toBeGreaterThan(50);
  // the first pieces were there already
  expect(new Set(turns).size).toBeGreaterThan(turns.length - 3);
});

test("every family of the buffered body is found, wherever its line is divided between two blocks of the buffer", async () => {
  const families = Array.from({ length: 6_000 }, (_, index) => `family_of_number_${String(index)}`);
  const body = families.map((family) => `# HELP ${family} Help.\n# TYPE ${family} gauge\n${family} 1\n`).join("");
  await using app = await listening(
    createServer((_request, response) => {
      response.end(body);
    }),
  );
  const target = { host: "127.0.0.1", scheme: "http", port: app.port, path: "/" } as const;
  using fetch = new TargetFetch({ target, headers: {}, limitBody: true, budgets: testBudgets() });
  await fetch.decided;
  expect(Array.from(fetch.declaredFamilies(), ({ family }) => family)).toEqual(families);
});
