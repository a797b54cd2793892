// SPDX-License-Identifier: Apache-2.0
import { Socket } from "node:net";
import { expect, test } from "vitest";
import { DnsConnections } from "../../../src/dns/connections.ts";
import { testBudgets } from "../../support/budgets.ts";

function socketFrom(remoteAddress: string): Socket {
  return Object.defineProperty(new Socket(), "remoteAddress", { value: remoteAddress });
}

/** A full table of three connections, the first of which was used last. */
function fill(addresses: readonly [string, string, string]) {
  const budgets = testBudgets({ "dns-connections": 3 });
  const connections = new DnsConnections(budgets);
  const sockets = addresses.map(socketFrom);
  const [a, b, c] = sockets.map((socket) => connections.add(socket));
  a?.touch();
  const open = (): string => ["a", "b", "c"].filter((_, index) => sockets[index]?.destroyed === false).join("");
  const used = () => budgets.facts().find(({ name }) => name === "dns-connections")?.used;
  return { connections, a, b, c, open, used };
}

const local = "127.0.0.1";
const far = "10.0.0.9";

test("the connection that has been idle for the longest time gives way, not the oldest", () => {
  const { connections, open, used } = fill([far, far, far]);
  expect(connections.add(socketFrom(far))).toBeDefined();
  expect(open()).toBe("ac");
  expect(used()).toBe(3);
});

test("a connection with a query gives way after the idle ones", () => {
  const { connections, b, c, open } = fill([far, far, far]);
  for (const connection of [b, c]) expect(connection?.queries.tryTake()).toBe(true);
  connections.add(socketFrom(far));
  expect(open()).toBe("bc");
});

test.each([
  [[local, local, far] as const, local, "ab"],
  [[local, local, local] as const, local, "ac"],
  [[local, local, local] as const, far, "abc"],
  [["::1", "::ffff:127.0.0.1", far] as const, far, "ab"],
])("loopback gives way last, and never to others: %j for %s", (addresses, next, left) => {
  const { connections, c, open } = fill(addresses);
  c?.queries.tryTake();
  const added = connections.add(socketFrom(next));
  expect(open()).toBe(left);
  expect(added === undefined).toBe(left === "abc");
});

test("a closed connection makes place", async () => {
  const { connections, b, open, used } = fill([local, local, local]);
  b?.socket.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  expect(used()).toBe(2);
  expect(connections.add(socketFrom(far))).toBeDefined();
  expect(open()).toBe("ac");
});

test("while memory is short, only loopback gets new connections", () => {
  const budgets = { ...testBudgets(), memory: { isShort: () => true, text: "short" } };
  const connections = new DnsConnections(budgets);
  const [near, other] = [socketFrom(local), socketFrom(far)];
  expect(connections.add(near)).toBeDefined();
  expect(connections.add(other)).toBeUndefined();
  expect([near.destroyed, other.destroyed]).toEqual([false, true]);
});
