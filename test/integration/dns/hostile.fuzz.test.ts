// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { answering, startFakeResolver } from "../../fakes/fake-resolver.ts";
import { ask, askTcpRaw, askUdpRaw } from "../../support/dns-client.ts";
import { encodeQuery, encodeReply } from "../../support/dns-messages.ts";
import { startDns } from "../../support/dns-under-test.ts";
import { eventually } from "../../support/eventually.ts";
import { named } from "../../support/name-tables.ts";
import { fc } from "../../support/properties.ts";

const table = [named("web.mesh", ["10.0.0.1"]), named("*.wild.mesh", ["10.0.0.2"])];
const good = encodeQuery("web.mesh");

/** Queries of all kinds, most of them damaged. */
function messages(count: number): readonly Buffer[] {
  const name = fc.constantFrom("web.mesh", "a.b.wild.mesh", "www.example.org", "x".repeat(63), "a.".repeat(120));
  const query = fc
    .record({ asked: name, id: fc.nat(0xffff), flags: fc.nat(0xffff), class: fc.constantFrom(1, 3, 255) })
    .map(({ asked, ...parts }) => encodeQuery(asked, parts));
  const changes = fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 4 });
  const message = fc
    .tuple(query, changes, fc.nat(300), fc.uint8Array({ maxLength: 30 }))
    .map(([bytes, edits, end, tail]) => {
      const damaged = Buffer.concat([bytes.subarray(0, end), tail]);
      for (const [at, value] of edits) if (at < damaged.length) damaged.writeUInt8(value, at);
      return damaged;
    });
  return fc.sample(message, count);
}

test("after five thousand damaged packets each query gets its response, and nothing has failed", async () => {
  await using resolver = await startFakeResolver((bytes) => encodeReply(bytes));
  await using dns = await startDns({ table, resolvers: [resolver], timeoutMs: 200 });
  const socket = createSocket("udp4");
  let longest = 0;
  let replies = 0;
  socket.on("message", (reply) => {
    replies++;
    longest = Math.max(longest, reply.length);
  });
  let sent = 0;
  for (const message of messages(5_000)) {
    await new Promise<void>((resolve) => {
      socket.send(message, dns.address.port, dns.address.host, () => {
        resolve();
      });
    });
    if (++sent % 50 === 0) expect((await ask(dns.address, "udp", good)).answers).toHaveLength(1);
  }
  socket.close();
  expect(replies).toBeGreaterThan(1_000);
  expect(longest).toBeLessThanOrEqual(512);
  expect(dns.failures).toEqual([]);
}, 30_000);

test("after five hundred connections of damaged bytes each query gets its response, and nothing has failed", async () => {
  await using resolver = await startFakeResolver((bytes) => encodeReply(bytes));
  await using dns = await startDns({ table, resolvers: [resolver], timeoutMs: 200 });
  for (const [index, message] of messages(500).entries()) {
    const socket = connect(dns.address.port, dns.address.host);
    socket.on("error", () => undefined);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(index % 3 === 0 ? (index * 131) & 0xffff : message.length);
    socket.end(Buffer.concat([length, message, message]));
    await Promise.race([once(socket, "close"), once(socket, "data")]);
    socket.destroy();
  }
  expect((await ask(dns.address, "tcp", good)).answers).toHaveLength(1);
  expect(dns.failures).toEqual([]);
}, 30_000);

test("a malformed response of a resolver fails its own query alone", async () => {
  const noise = messages(400);
  let turn = 0;
  await using resolver = await startFakeResolver((bytes) => {
    const said = noise[turn++ % noise.length] ?? Buffer.alloc(0);
    if (turn % 2 === 0) bytes.copy(said, 0, 0, Math.min(2, said.length));
    return said;
  });
  await using dns = await startDns({ table, resolvers: [resolver], timeoutMs: 100 });
  const asked = Array.from({ length: 200 }, async (_, id) => {
    const query = encodeQuery("www.example.org", { id });
    return id % 2 === 0 ? await askUdpRaw(dns.address, query) : (await askTcpRaw(dns.address, [query]))[0];
  });
  const ids = (await Promise.all(asked)).map((reply) => reply?.readUInt16BE(0));
  expect(ids).toEqual(asked.map((_, id) => id));
  expect((await ask(dns.address, "udp", good)).answers).toHaveLength(1);
  expect(dns.failures).toEqual([]);
});

test("while a thousand queries wait, more get SERVFAIL at once, and names of the mesh resolve", async () => {
  await using resolver = await startFakeResolver(() => undefined);
  await using dns = await startDns({ table, resolvers: [resolver], timeoutMs: 20_000 });
  const socket = createSocket("udp4");
  let rejected = 0;
  socket.on("message", (reply) => {
    if ((reply.readUInt8(3) & 15) === 2) rejected++;
  });
  for (let id = 0; id < 1_100; id++) {
    await new Promise<void>((resolve) => {
      socket.send(encodeQuery("www.example.org", { id }), dns.address.port, dns.address.host, () => {
        resolve();
      });
    });
    // a turn of the proxy, so that none is lost before it is read
    if (id % 20 === 0) await ask(dns.address, "udp", good);
  }
  await eventually(() => expect(rejected).toBe(100), { withinMs: 5_000 });
  expect((await ask(dns.address, "udp", good)).answers).toHaveLength(1);
  expect(dns.budgets.facts().find(({ name }) => name === "dns-queries")).toMatchObject({
    peak: 1_000,
    spentTotal: 100,
  });
  socket.close();
}, 30_000);

test("clients that send nothing, or read nothing, are disconnected", async () => {
  await using resolver = await startFakeResolver(answering());
  await using dns = await startDns({ table, resolvers: [resolver] });
  const sockets: Socket[] = [];
  let closed = 0;
  for (let i = 0; i < 300; i++) {
    const socket = connect(dns.address.port, dns.address.host);
    socket.on("error", () => undefined);
    socket.on("close", () => closed++);
    if (i % 3 === 0) socket.write(Buffer.of(0xff, 0xff, 1));
    sockets.push(socket);
  }
  // those above the limit at once, those that say nothing after two seconds
  await eventually(() => expect(closed).toBeGreaterThanOrEqual(44), { withinMs: 10_000 });
  expect((await ask(dns.address, "udp", good)).answers).toHaveLength(1);
  await eventually(() => expect(closed).toBeGreaterThanOrEqual(200), { withinMs: 10_000 });
  expect((await ask(dns.address, "tcp", good)).answers).toHaveLength(1);
  for (const socket of sockets) socket.destroy();
}, 30_000);
