// SPDX-License-Identifier: Apache-2.0
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { startFakeResolver } from "../../fakes/fake-resolver.ts";
import { ask, askUdpRaw } from "../../support/dns-client.ts";
import { encodeQuery, encodeReply } from "../../support/dns-messages.ts";
import { type DnsUnderTest, startDns } from "../../support/dns-under-test.ts";
import { eventually } from "../../support/eventually.ts";
import { named } from "../../support/name-tables.ts";

const table = [named("web.mesh", ["10.0.0.1"])];

const usage = ({ budgets }: DnsUnderTest, budget: string) => budgets.facts().find(({ name }) => name === budget);

test("a DNS connection beyond the limit takes the place of the one that has been idle for the longest time", async () => {
  await using dns = await startDns({ table, sizes: { "dns-connections": 3 } });
  const closed: number[] = [];
  const sockets: Socket[] = [];
  for (let index = 0; index < 5; index++) {
    const socket = connect(dns.address.port, dns.address.host);
    socket.on("error", () => undefined);
    socket.on("close", () => closed.push(index));
    sockets.push(socket);
    await eventually(() => expect(usage(dns, "dns-connections")?.peak).toBe(Math.min(3, index + 1)), {
      withinMs: 2_000,
    });
  }
  await eventually(() => expect(closed.slice(0, 2).sort()).toEqual([0, 1]), { withinMs: 1_500 });
  expect((await ask(dns.address, "tcp", encodeQuery("web.mesh"))).answers).toHaveLength(1);
  for (const socket of sockets) socket.destroy();
});

test("with resolvers that do not respond, the sockets to them stay within their limit", async () => {
  await using resolver = await startFakeResolver(() => undefined);
  await using dns = await startDns({ table, resolvers: [resolver], timeoutMs: 400, sizes: { "dns-sockets": 10 } });
  const queries = Array.from({ length: 50 }, (_, id) => askUdpRaw(dns.address, encodeQuery("www.example.org", { id })));
  expect((await ask(dns.address, "udp", encodeQuery("web.mesh"))).answers).toHaveLength(1);
  await Promise.all(queries);
  expect(usage(dns, "dns-sockets")).toMatchObject({ used: 0, peak: 10 });
  expect(usage(dns, "dns-queries")?.used).toBe(0);
  expect(dns.failures).toEqual([]);
});

test("of a resolv.conf beyond the limit the rest is not read", async () => {
  await using resolver = await startFakeResolver(() => undefined);
  await using dns = await startDns({ table, resolvers: [resolver], sizes: { "dns-file-bytes": 200 } });
  dns.writeResolvConf(`nameserver 127.0.0.9\n${"# \n".repeat(100)}nameserver 127.0.0.10\n`);
  await eventually(
    () => {
      const changed = dns.records.find(({ message }) => message === "resolvers changed");
      expect(changed?.fields).toMatchObject({ servers: ["127.0.0.9"] });
    },
    { withinMs: 5_000 },
  );
  expect(usage(dns, "dns-file-bytes")?.spentTotal).toBe(1);
});

test("after the last query of a TCP connection nothing more of it is read", async () => {
  await using resolver = await startFakeResolver(() => undefined);
  await using dns = await startDns({ table, resolvers: [resolver], timeoutMs: 5_000, sizes: { "dns-queries": 1 } });
  const query = encodeQuery("www.example.org");
  const framed = Buffer.concat([Buffer.from([0, query.length]), query]);
  const socket = connect(dns.address.port, dns.address.host).on("error", () => undefined);
  let responses = 0;
  socket.on("data", (bytes: Buffer) => {
    responses += bytes.length;
  });
  // the first one waits for the resolver, the others are rejected
  socket.write(Buffer.concat(Array.from({ length: 128 }, () => framed)));
  await eventually(() => expect(responses).toBeGreaterThanOrEqual(127 * framed.length), { withinMs: 3_000 });
  let written = 0;
  const chunk = Buffer.alloc(65_536);
  const writeNext = (): void => {
    written += chunk.length;
    if (written < 64_000_000) socket.write(chunk, writeNext);
  };
  socket.write(chunk, writeNext);
  await systemClock.delay(1_500);
  // what the system's buffers hold
  expect(written).toBeLessThan(10_000_000);
  expect((await ask(dns.address, "tcp", encodeQuery("web.mesh"))).answers).toHaveLength(1);
  socket.destroy();
});

test("while memory is short, loopback is served, other machines get what is in the table, and nothing is cached", async () => {
  const memory = { isShort: () => true, text: "short" };
  await using resolver = await startFakeResolver((query) => encodeReply(query, ["192.0.2.1"]));
  await using dns = await startDns({ table, resolvers: [resolver], memory, listen: { host: "0.0.0.0" } });
  const { port } = dns.address;
  const own = Object.values(networkInterfaces()).flat();
  const far = own.find((one) => one !== undefined && one.family === "IPv4" && !one.internal)?.address;
  const rcodes = async (host: string) => {
    const known = await ask({ host, port }, "udp", encodeQuery("web.mesh"));
    const forwarded = await ask({ host, port }, "udp", encodeQuery("www.example.org"));
    return [known.rcode, forwarded.rcode];
  };
  expect(await rcodes("127.0.0.1")).toEqual([0, 0]);
  if (far !== undefined) expect(await rcodes(far)).toEqual([0, 2]);
  expect(usage(dns, "dns-cached-responses")?.used).toBe(0);
});
