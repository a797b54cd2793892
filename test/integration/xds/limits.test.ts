// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import type { BudgetName, Budgets } from "../../../src/model/limits.ts";
import { renderResponse } from "../../../src/xds/protocol/response.ts";
import { textField } from "../../../src/xds/protocol/wire.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { envoyNode, startProxy } from "../../support/xds-proxy-pair.ts";

const { cluster } = typeUrls;

function facts(budgets: Budgets, name: BudgetName) {
  const found = budgets.facts().find((row) => row.name === name);
  if (found === undefined) throw new Error(`no budget ${name}`);
  return found;
}

function untilTrue(assertion: () => void): Promise<void> {
  return eventually(assertion, { withinMs: 5_000 });
}

test.each([
  ["xds-names-bytes", 2_000, Array.from({ length: 40 }, (_, index) => `name-${String(index)}`)],
  ["xds-name-bytes", 100, ["x".repeat(101)]],
  ["xds-text-bytes", 100, []],
] as const)(
  "a subscription beyond %s ends the stream with the limit's name, and gives all back",
  async (budget, size, subscribe) => {
    const budgets = testBudgets({ [budget]: size });
    await using controlPlane = await startFakeControlPlane();
    await using under = await startProxy([controlPlane.port], { budgets });
    const client = await under.open("delta");
    await client.send({ typeUrl: budget === "xds-text-bytes" ? "t".repeat(101) : cluster, subscribe });
    await expect(client.untilEnd()).rejects.toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
      detail: expect.stringContaining(`limit ${budget} of ${String(size)} bytes`) as unknown,
    });
    await untilTrue(() => {
      expect(facts(budgets, "xds-names-bytes").used).toBe(0);
    });
    expect(facts(budgets, budget).spentTotal).toBe(1);
  },
);

test.each(["sotw", "delta"] as const)("%s: what a stream has taken follows its subscription", async (protocol) => {
  const budgets = testBudgets();
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(cluster, [{ name: "a".repeat(1_000), version: "1", value: textField(1, "a") }]);
  await using under = await startProxy([controlPlane.port], { budgets });
  const client = await under.open(protocol);
  const used = (): number => facts(budgets, "xds-names-bytes").used;
  const [long, short] = ["n".repeat(5_000), "s"];
  await client.send({ typeUrl: "t/x", node: envoyNode, subscribe: [long, short] });
  await untilTrue(() => {
    expect(used()).toBeGreaterThan(5_000);
  });
  await client.send({ typeUrl: "t/x", subscribe: [short], ...(protocol === "delta" ? { unsubscribe: [long] } : {}) });
  await untilTrue(() => {
    expect(used()).toBeLessThan(500);
  });
  client.stream.cancel();
  await untilTrue(() => {
    expect(used()).toBe(0);
  });
});

test("responses that a client never acknowledges are forgotten, the oldest first, with the names that they hold", async () => {
  const budgets = testBudgets({ "xds-sent-responses": 3 });
  await using controlPlane = await startFakeControlPlane();
  await using under = await startProxy([controlPlane.port], { budgets });
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster, node: envoyNode });
  for (let version = 1; version <= 20; version++) {
    controlPlane.set(cluster, [{ name: "n".repeat(1_000), version: String(version), value: textField(1, "a") }]);
    await client.next();
  }
  expect(facts(budgets, "xds-sent-responses").spentTotal).toBeGreaterThan(15);
  expect(facts(budgets, "xds-names-bytes").used).toBeLessThan(5_000);
});

test("a control plane that sends what must be rejected and does not read is not read either", async () => {
  const count = 5_000;
  const budgets = testBudgets({ "xds-unsent-bytes": 20_000 });
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(cluster, [{ name: "a", version: "1", value: textField(1, "a") }]);
  await using under = await startProxy([controlPlane.port], { budgets });
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster, node: envoyNode });
  await client.next();
  controlPlane.pause();
  for (let index = 0; index < count; index++) {
    const typeUrl = `type.googleapis.com/unknown.Type${String(index)}`;
    controlPlane.sendRaw(renderResponse({ typeUrl, version: "1", nonce: "n", resources: [], removed: [] }, "delta"));
  }
  await untilTrue(() => {
    expect(facts(budgets, "xds-unsent-bytes").spentTotal).toBeGreaterThan(0);
  });
  await systemClock.delay(300);
  expect(facts(budgets, "xds-unsent-bytes").peak).toBeLessThan(20_000 + 2_048);
  controlPlane.resume();
  await untilTrue(() => {
    expect(controlPlane.requests.filter(({ request }) => request.responseNonce === "n")).toHaveLength(count);
  });
});

test("requests from before the control plane responds are dropped when there are too many: it gets the subscriptions", async () => {
  const budgets = testBudgets({ "xds-pending-bytes": 500 });
  await using controlPlane = await startFakeControlPlane();
  const { port } = controlPlane;
  await controlPlane.kill();
  await using under = await startProxy([port], { budgets });
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster, node: envoyNode, subscribe: ["a".repeat(300)] });
  await client.send({ typeUrl: cluster, subscribe: ["b".repeat(300)] });
  await untilTrue(() => {
    expect(facts(budgets, "xds-pending-bytes")).toMatchObject({ used: 0, spentTotal: 1 });
  });
  await controlPlane.listen(port);
  await untilTrue(() => {
    const [first] = controlPlane.seen(cluster);
    expect(first?.request).toMatchObject({ resourceNamesSubscribe: ["a".repeat(300), "b".repeat(300)] });
  });
});

test("an HTTP proxy whose response has no end is left alone, with the limit's name in the log", async () => {
  const budgets = testBudgets({ "xds-connect-response-bytes": 1_000 });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.write("HTTP/1.1 200 OK\r\n" + "x: y\r\n".repeat(1_000));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    const httpProxy = { host: "127.0.0.1", port, authorization: undefined };
    await using under = await startProxy([15012], { budgets, upstream: { httpProxy } });
    const client = await under.open("sotw");
    await client.send({ typeUrl: cluster, node: envoyNode });
    await untilTrue(() => {
      expect(JSON.stringify(under.records)).toContain("limit xds-connect-response-bytes of 1000 bytes is reached");
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

test("held responses take from one budget; what does not fit passes as it comes, and all is given back", async () => {
  const budgets = testBudgets({ "xds-held-bytes": 1_000_000 });
  await using controlPlane = await startFakeControlPlane();
  await using under = await startProxy([controlPlane.port], { budgets });
  const clients = [await under.open("delta"), await under.open("delta")];
  for (const client of clients) await client.send({ typeUrl: cluster, node: textField(1, "a") });
  await untilTrue(() => {
    expect(controlPlane.openStreams).toBe(2);
  });
  controlPlane.set(cluster, [{ name: "a", version: "1", value: Buffer.alloc(900_000) }]);
  for (const client of clients) expect((await client.nextBytes()).length).toBeGreaterThan(900_000);
  controlPlane.set(cluster, [{ name: "a", version: "2", value: Buffer.alloc(1_100_000) }]);
  for (const client of clients) expect((await client.nextBytes()).length).toBeGreaterThan(1_100_000);
  const held = facts(budgets, "xds-held-bytes");
  expect(held.spentTotal).toBeGreaterThan(0);
  expect(held.peak).toBeGreaterThan(900_000);
  expect(held.used).toBe(0);
});

test("what a client has not read is counted, and the control plane is not read meanwhile", async () => {
  const budgets = testBudgets();
  await using controlPlane = await startFakeControlPlane();
  await using under = await startProxy([controlPlane.port], { budgets });
  const client = await under.open("delta");
  await client.send({ typeUrl: cluster, node: envoyNode });
  await untilTrue(() => {
    expect(controlPlane.openStreams).toBe(1);
  });
  for (let version = 1; version <= 10; version++) {
    controlPlane.set(cluster, [{ name: "a", version: String(version), value: Buffer.alloc(2_000_000) }]);
  }
  await untilTrue(() => {
    expect(facts(budgets, "xds-queued-bytes").used).toBeGreaterThan(0);
  });
  for (let version = 1; version <= 10; version++) await client.nextBytes();
  // the window of a stream and what is read ahead
  expect(facts(budgets, "xds-queued-bytes").peak).toBeLessThan(1_200_000);
  await untilTrue(() => {
    expect(facts(budgets, "xds-queued-bytes").used).toBe(0);
  });
});

test("other programs cannot take the memory for names that Envoy needs", async () => {
  const sizes = { "xds-names-bytes": 60_000, "xds-names-bytes-of-others": 30_000, "xds-names-bytes-of-stream": 20_000 };
  const budgets = testBudgets(sizes);
  let isEnvoy = false;
  await using controlPlane = await startFakeControlPlane();
  await using under = await startProxy([controlPlane.port], { budgets, isEnvoy: () => isEnvoy });
  const names = (count: number) => Array.from({ length: count }, (_, at) => `${"n".repeat(1_000)}-${String(at)}`);
  const greedy = await under.open("delta");
  await greedy.send({ typeUrl: cluster, subscribe: names(15) });
  await untilTrue(() => {
    expect(facts(budgets, "xds-names-bytes").used).toBeGreaterThan(15_000);
  });
  await greedy.send({ typeUrl: cluster, subscribe: names(25) });
  await expect(greedy.untilEnd()).rejects.toMatchObject({
    detail: expect.stringContaining("limit xds-names-bytes-of-stream of 20000 bytes") as unknown,
  });
  for (let count = 0; count < 2; count++) {
    const other = await under.open("delta");
    await other.send({ typeUrl: cluster, subscribe: names(13) });
    other.untilEnd().catch(() => undefined);
  }
  isEnvoy = true;
  const envoy = await under.open("delta");
  await envoy.send({ typeUrl: cluster, node: envoyNode, subscribe: names(25) });
  await untilTrue(() => {
    expect(facts(budgets, "xds-names-bytes").used).toBeGreaterThan(45_000);
  });
});
