// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { createGrpcChannel } from "../../../src/lib/grpc/client.ts";
import { GrpcStatus } from "../../../src/lib/grpc/status.ts";
import type { BudgetName, Budgets } from "../../../src/model/limits.ts";
import { DiscoveryRequest } from "../../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { bundle, startTestServer, type TestServer } from "./test-server.ts";

function facts(budgets: Budgets, name: BudgetName) {
  const found = budgets.facts().find((row) => row.name === name);
  if (found === undefined) throw new Error(`no budget ${name}`);
  return found;
}

function untilTrue(assertion: () => void): Promise<void> {
  return eventually(assertion, { withinMs: 5_000 });
}

async function readAll(responses: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of responses);
}

/** A client that opens streams for `ROOTCA` and reads nothing. */
async function openSilent(server: TestServer, streams: number) {
  const target = { kind: "unix", path: server.socketPath } as const;
  const channel = createGrpcChannel({ target, authority: "sds-grpc" }, { clock: systemClock });
  const request = DiscoveryRequest.fromPartial({ node: { id: "n" }, resourceNames: ["ROOTCA"] });
  const opened = await Promise.all(
    Array.from({ length: streams }, async () => {
      const stream = await channel.stream("/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets");
      await stream.write(DiscoveryRequest.encode(request).finish());
      return stream;
    }),
  );
  return { streams: opened, [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose]() };
}

test("with too many secrets of files, a stream ends with the limit's name; one that is no longer wanted makes place", async () => {
  const budgets = testBudgets({ "sds-file-secrets": 2 });
  await using server = await startTestServer({}, false, budgets);
  const [a, b, c] = ["a", "b", "c"].map((name) => `file-root:/certs/${name}.pem`);
  const client = server.client();
  const first = client.stream();
  first.ask({ resource_names: [a, b] });
  await untilTrue(() => {
    expect(facts(budgets, "sds-file-secrets").used).toBe(2);
  });
  using second = client.stream();
  second.ask({ resource_names: ["ROOTCA", c] });
  expect(await second.untilStatus()).toMatchObject({
    code: GrpcStatus.resourceExhausted,
    details: expect.stringContaining("limit sds-file-secrets of 2 items is reached") as unknown,
  });
  expect(JSON.stringify(server.records)).toContain("sds-file-secrets");
  first[Symbol.dispose]();
  await untilTrue(() => {
    expect(facts(budgets, "sds-file-secrets").used).toBe(0);
    expect(server.metrics.subscribers.value("file-root")).toBe(0);
    expect(server.metrics.subscribers.value("ROOTCA")).toBe(0);
  });
  using third = client.stream();
  third.ask({ resource_names: [c] });
  await untilTrue(() => {
    expect(server.watched.has(c ?? "")).toBe(true);
  });
});

test("a client that does not read is closed when the others need the memory; what is read is not counted any more", async () => {
  const budgets = testBudgets({ "sds-queued-bytes": 1_500_000 });
  await using server = await startTestServer({}, false, budgets);
  server.set("ROOTCA", bundle("x".repeat(1_500_000)));
  await using silent = await openSilent(server, 4);
  await untilTrue(() => {
    expect(facts(budgets, "sds-queued-bytes").spentTotal).toBeGreaterThan(0);
  });
  const reading = server.client();
  using early = reading.stream();
  early.ask({ resource_names: ["ROOTCA"] });
  await early.untilAnswer(1);
  await systemClock.delay(1_100);
  using late = reading.stream();
  late.ask({ resource_names: ["ROOTCA"] });
  await late.untilAnswer(1);
  await Promise.all(
    silent.streams.map((stream) => expect(readAll(stream.responses)).rejects.toMatchObject({ code: "AGENT_GRPC" })),
  );
  expect(early.status).toBeUndefined();
  await untilTrue(() => {
    expect(facts(budgets, "sds-queued-bytes").used).toBe(0);
  });
});

test("responses that a client neither accepts nor rejects are forgotten, the oldest first", async () => {
  const budgets = testBudgets({ "sds-pending-responses": 3 });
  await using server = await startTestServer({}, false, budgets);
  using stream = server.client().stream();
  stream.ask({ resource_names: ["ROOTCA"] });
  for (let count = 1; count <= 5; count++) {
    server.set("ROOTCA", bundle(String(count)));
    await stream.untilAnswer(count);
  }
  expect(facts(budgets, "sds-pending-responses").spentTotal).toBe(2);
});
