// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { createServer, connect } from "node:net";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { answering, startFakeResolver } from "../../fakes/fake-resolver.ts";
import { ask } from "../../support/dns-client.ts";
import { encodeQuery } from "../../support/dns-messages.ts";
import { startDns } from "../../support/dns-under-test.ts";
import { freePorts } from "../../support/free-ports.ts";

const query = encodeQuery("www.example.org");

describe("2.1: localhost", () => {
  test.each([
    ["an IPv4 resolver", ["127.0.0.1"], ["127.0.0.1"]],
    ["an IPv6 resolver", ["::1"], ["::1"]],
    ["resolvers of both families", ["::1", "127.0.0.1"], ["127.0.0.1", "::1"]],
    ["no resolver", [], ["127.0.0.1"]],
  ])("with %s", async (_, servers, hosts) => {
    const [port = 0] = await freePorts(1);
    const resolvers = servers.map((host) => ({ host, port }));
    await using dns = await startDns({ table: [], resolvers, listen: { host: "localhost" } });
    expect(dns.hosts).toEqual(hosts);
  });

  test("each address serves UDP and TCP, and queries resolvers of the other family too", async () => {
    await using resolver = await startFakeResolver(answering({ "www.example.org.": ["192.0.2.1"] }), "::1");
    const other = { host: "127.0.0.1", port: resolver.port };
    await using dns = await startDns({ table: [], resolvers: [other, resolver], listen: { host: "localhost" } });
    for (const host of ["127.0.0.1", "::1"]) {
      for (const transport of ["udp", "tcp"] as const) {
        const reply = await ask({ host, port: dns.address.port }, transport, query);
        expect(reply.answers).toMatchObject([{ data: "192.0.2.1" }]);
      }
    }
    expect(dns.failures).toEqual([]);
  });
});

test("only the configured address is listened on", async () => {
  await using dns = await startDns({ table: [], listen: { host: "127.0.0.1" } });
  const socket = connect(dns.address.port, "127.0.0.2");
  await expect(once(socket, "connect")).rejects.toThrow(/ECONNREFUSED/);
});

test("without a host, all addresses of both families are listened on", async () => {
  await using dns = await startDns({ table: [], listen: { host: "::" } });
  for (const host of ["127.0.0.2", "::1"]) {
    for (const transport of ["udp", "tcp"] as const) {
      expect((await ask({ host, port: dns.address.port }, transport, query)).rcode).toBe(2);
    }
  }
});

test("2.1: a port that is taken fails the start with the name of its holder", async () => {
  const [port = 0] = await freePorts(1);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const who = `.*process ${String(process.pid)}.*already listens there`;
  await expect(startDns({ listen: { port } })).rejects.toThrow(
    new RegExp(`127.0.0.1:${String(port)} \\(tcp\\): ${who}`),
  );
  await new Promise((resolve) => server.close(resolve));
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => {
    socket.bind(port, "127.0.0.1", resolve);
  });
  await expect(startDns({ listen: { port } })).rejects.toThrow(
    new RegExp(`127.0.0.1:${String(port)} \\(udp\\): ${who}`),
  );
  await expect(startDns({ listen: { port } })).rejects.toMatchObject({ code: "AGENT_DNS_PORT" });
  await new Promise<void>((resolve) => {
    socket.close(resolve);
  });
  await using dns = await startDns({ listen: { port } });
  expect(dns.address.port).toBe(port);
});

test("an address that this machine does not have fails the start", async () => {
  await expect(startDns({ listen: { host: "192.0.2.77" } })).rejects.toThrow(
    /192.0.2.77:\d+ \(udp\): the port cannot be/,
  );
});

test("bytes of a query that come one by one do not extend the time for it", { timeout: 10_000 }, async () => {
  await using dns = await startDns({ table: [] });
  const socket = connect(dns.address.port, dns.address.host);
  socket.on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const startMs = performance.now();
  while (!socket.destroyed) {
    socket.write(Buffer.of(0xff));
    await Promise.race([closed, systemClock.delay(200)]);
  }
  expect(performance.now() - startMs).toBeLessThan(5_000);
});
