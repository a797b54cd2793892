// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { lookUpPlatform } from "../../../src/platform/index.ts";
import { testBudgets } from "../../support/budgets.ts";
import { listening } from "../../support/listening.ts";

const never = new AbortController().signal;

async function startServer(answer: (path: string) => string | undefined, flavor = "Google") {
  const server = createServer((request, response) => {
    const body = answer(request.url ?? "");
    response.writeHead(body === undefined ? 404 : 200, { "metadata-flavor": flavor });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${String(port)}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const config = { kind: "gcp", localityNeeded: false, waitMs: 250, ipv6: false } as const;

test("Google's metadata server is read over HTTP", async () => {
  await using server = await startServer((path) => (path.endsWith("project/project-id") ? " p \n" : undefined));
  const facts = await lookUpPlatform(
    { ...config, gceMetadataHost: server.host },
    { clock: systemClock, budgets: testBudgets() },
    never,
  );
  expect(facts?.metadata).toEqual({ gcp_project: "p" });
});

test("another server's response is not used", async () => {
  await using server = await startServer(() => "anything", "other");
  const facts = await lookUpPlatform(
    { ...config, gceMetadataHost: server.host },
    { clock: systemClock, budgets: testBudgets() },
    never,
  );
  expect(facts).toBeUndefined();
});

test("an unreachable server is unknown, and the lookup ends with the signal", async () => {
  const stop = AbortSignal.timeout(100);
  const started = performance.now();
  const facts = await lookUpPlatform(
    { ...config, gceMetadataHost: "240.0.0.1" },
    { clock: systemClock, budgets: testBudgets() },
    stop,
  );
  expect(facts).toBeUndefined();
  expect(performance.now() - started).toBeLessThan(1_000);
});

test("a response above the limit is not used, and counted", async () => {
  await using server = await startServer((path) => (path.endsWith("project/project-id") ? "p".repeat(101) : undefined));
  const budgets = testBudgets({ "metadata-response-bytes": 100 });
  const options = { ...config, gceMetadataHost: server.host };
  expect(await lookUpPlatform(options, { clock: systemClock, budgets }, never)).toBeUndefined();
  expect(budgets.facts().find(({ name }) => name === "metadata-response-bytes")?.spentTotal).toBe(1);
});

test("a redirect is not followed, so that no header of a request reaches another server", async () => {
  const received: unknown[] = [];
  const other = createServer((request, response) => {
    received.push(request.headers);
    response.writeHead(200, { "metadata-flavor": "Google" }).end("p");
  });
  await using target = await listening(other);
  const location = `http://127.0.0.1:${String(target.port)}/`;
  await using server = await listening(
    createServer((_request, response) => response.writeHead(302, { location, "metadata-flavor": "Google" }).end()),
  );
  const gceMetadataHost = `127.0.0.1:${String(server.port)}`;
  const facts = await lookUpPlatform(
    { ...config, gceMetadataHost },
    { clock: systemClock, budgets: testBudgets() },
    never,
  );
  expect(facts).toBeUndefined();
  expect(received).toEqual([]);
});
