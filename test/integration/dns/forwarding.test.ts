// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { describe, expect, test } from "vitest";
import { answering, failing, type ResolverBehaviour, silent, startFakeResolver } from "../../fakes/fake-resolver.ts";
import { ask, askTcpRaw, askUdpRaw } from "../../support/dns-client.ts";
import { decodeMessage, encodeQuery, encodeReply } from "../../support/dns-messages.ts";
import { resolvConf, searchLine, startDns } from "../../support/dns-under-test.ts";
import { named } from "../../support/name-tables.ts";
import { eventually } from "../../support/eventually.ts";

const name = "www.example.org";
const query = encodeQuery(name, { id: 4711 });
/** Each query is forwarded: no response is valid for later ones. */
const good = answering({ [`${name}.`]: ["192.0.2.1"] }, 0);
const goodForOneSecond = answering({ [`${name}.`]: ["192.0.2.1"] }, 1);
const servFail = failing(0x8182);
const refused = failing(0x8185);

/** Two resolvers at the same port; more addresses of loopback are there without further ado. */
async function twoResolvers(first: ResolverBehaviour, second: ResolverBehaviour) {
  const one = await startFakeResolver(first);
  const two = await startFakeResolver(second, "127.0.0.2", one.port);
  return {
    both: [one, two],
    one,
    two,
    async [Symbol.asyncDispose]() {
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

async function timed<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly tookMs: number }> {
  const startMs = performance.now();
  return { value: await work(), tookMs: performance.now() - startMs };
}

describe.each(["udp", "tcp"] as const)("over %s", (transport) => {
  test("2.5: a query is forwarded over the same transport, with an ID of its own", async () => {
    await using resolver = await startFakeResolver(good);
    await using dns = await startDns({ table: [], resolvers: [resolver] });
    const sent = encodeQuery("wWw.example.ORG", { id: 4711, flags: 0x0130, ednsBytes: 1400 });
    const ids = new Set<number>();
    for (let i = 0; i < 5; i++) {
      const reply = await ask(dns.address, transport, sent);
      expect(reply).toMatchObject({ id: 4711, answers: [{ name: "wWw.example.ORG.", data: "192.0.2.1" }] });
    }
    for (const seen of resolver.seen) {
      expect(seen.transport).toBe(transport);
      expect(seen.bytes.subarray(2)).toEqual(sent.subarray(2));
      ids.add(seen.bytes.readUInt16BE(0));
    }
    expect(ids.size).toBeGreaterThan(3);
    expect(dns.metrics.requests.value()).toBe(5);
    expect(dns.metrics.upstreamRequests.value()).toBe(5);
    expect(dns.metrics.upstreamDurationSeconds.snapshot().count).toBe(5);
    expect(dns.metrics.upstreamFailures.value()).toBe(0);
  });

  test("2.5, B22: a dead resolver delays the first query by one attempt, and later ones not at all", async () => {
    await using resolvers = await twoResolvers(silent, good);
    await using dns = await startDns({ table: [], resolvers: resolvers.both, timeoutMs: 2_500 });
    const took: number[] = [];
    for (let i = 0; i < 30; i++) {
      const { value, tookMs } = await timed(() => ask(dns.address, transport, query));
      expect(value.answers).toHaveLength(1);
      took.push(tookMs);
    }
    expect(resolvers.one.seen.length).toBeLessThan(5);
    expect(Math.max(...took)).toBeLessThan(2_400);
  });

  test.each([
    ["SERVFAIL", servFail],
    ["REFUSED", refused],
  ])("2.5: %s of one resolver is not final, and does not wait for the time of a try", async (_, unwilling) => {
    await using resolvers = await twoResolvers(unwilling, good);
    await using dns = await startDns({ table: [], resolvers: resolvers.both, timeoutMs: 20_000 });
    for (let i = 0; i < 10; i++) {
      const { value, tookMs } = await timed(() => ask(dns.address, transport, query));
      expect([value.rcode, value.answers.length]).toEqual([0, 1]);
      expect(tookMs).toBeLessThan(3_500);
    }
  });

  test("2.5: a failure of every resolver is passed on", async () => {
    await using resolvers = await twoResolvers(refused, refused);
    await using dns = await startDns({ table: [], resolvers: resolvers.both, timeoutMs: 20_000 });
    const { value, tookMs } = await timed(() => ask(dns.address, transport, query));
    expect(value).toMatchObject({ id: 4711, rcode: 5 });
    expect(tookMs).toBeLessThan(3_500);
    expect(dns.metrics.upstreamFailures.value()).toBe(0);
  });

  test("2.5: in parallel, the first response that is not a failure counts", async () => {
    await using resolvers = await twoResolvers(servFail, good);
    await using dns = await startDns({ table: [], resolvers: resolvers.both, parallel: true });
    for (let i = 0; i < 5; i++) expect((await ask(dns.address, transport, query)).rcode).toBe(0);
    await eventually(() => expect(resolvers.one.seen).toHaveLength(5), { withinMs: 1_000 });
    expect(resolvers.two.seen).toHaveLength(5);
  });

  test.each([false, true])("2.5: no resolver responds, parallel %s: SERVFAIL after the timeout", async (parallel) => {
    await using resolvers = await twoResolvers(silent, silent);
    await using dns = await startDns({ table: [], resolvers: resolvers.both, parallel, timeoutMs: 500 });
    const { value, tookMs } = await timed(() => ask(dns.address, transport, query));
    expect(value).toMatchObject({ id: 4711, rcode: 2, answers: [] });
    expect(tookMs).toBeGreaterThan(490);
    expect(tookMs).toBeLessThan(5_000);
    expect(dns.metrics.upstreamFailures.value()).toBe(1);
    expect(dns.records.filter(({ level }) => level === "warn").map(({ message }) => message)).toEqual([
      "no DNS resolver responds",
    ]);
  });

  test("C19: a resolver whose port is closed is tried three times, and the client gets SERVFAIL before it gives up", async () => {
    const resolver = await startFakeResolver(good);
    await resolver[Symbol.asyncDispose]();
    await using dns = await startDns({ table: [], resolvers: [resolver], timeoutMs: 5_000 });
    const { value, tookMs } = await timed(() => ask(dns.address, transport, query));
    expect(value.rcode).toBe(2);
    expect(tookMs).toBeGreaterThan(1_900);
    expect(tookMs).toBeLessThan(4_000);
  });

  test.each([false, true])("2.5: no resolver is configured, parallel %s: SERVFAIL at once", async (parallel) => {
    await using dns = await startDns({ table: [], parallel, timeoutMs: 20_000 });
    const { value, tookMs } = await timed(() => ask(dns.address, transport, query));
    expect(value.rcode).toBe(2);
    expect(tookMs).toBeLessThan(3_500);
  });

  test("a closed port is reported by the kernel, and the next resolver is queried at once", async () => {
    await using resolver = await startFakeResolver(good, "127.0.0.2");
    const gone = { host: "127.0.0.1", port: resolver.port };
    await using dns = await startDns({ table: [], resolvers: [gone, resolver], timeoutMs: 20_000 });
    for (let i = 0; i < 10; i++) {
      const { value, tookMs } = await timed(() => ask(dns.address, transport, query));
      expect(value.answers).toHaveLength(1);
      expect(tookMs).toBeLessThan(3_500);
    }
  });

  test("a resolver that comes back is queried again, also within the same query", async () => {
    await using resolver = await startFakeResolver(silent);
    await using dns = await startDns({ table: [], resolvers: [resolver], timeoutMs: 2_500 });
    const reply = ask(dns.address, transport, query);
    await eventually(() => expect(resolver.seen).toHaveLength(1), { withinMs: 1_000 });
    resolver.behave(good);
    expect((await reply).answers).toHaveLength(1);
  });
});

test("2.5: anything but the response is ignored: another ID, another question, a query, less than a header", async () => {
  const stray = (bytes: Buffer): readonly Buffer[] => {
    const reply = encodeReply(bytes, ["203.0.113.66"]);
    const otherId = Buffer.from(reply);
    otherId.writeUInt16BE(reply.readUInt16BE(0) ^ 1);
    const otherName = Buffer.from(reply);
    otherName.write("x", 13);
    const otherType = Buffer.from(reply);
    otherType.writeUInt8(28, query.length - 3);
    const noReply = Buffer.from(reply);
    noReply.writeUInt8(0x01, 2);
    return [otherId, otherName, otherType, noReply, reply.subarray(0, 11), Buffer.alloc(0)];
  };
  await using resolver = await startFakeResolver((bytes, seen) => [
    ...stray(bytes),
    ...[good(bytes, seen) ?? []].flat(),
  ]);
  await using dns = await startDns({ table: [], resolvers: [resolver] });
  for (let i = 0; i < 20; i++) {
    expect((await ask(dns.address, "udp", query)).answers).toMatchObject([{ data: "192.0.2.1" }]);
  }
});

test("2.5: a response from another address than the resolver's is ignored", async () => {
  const liar = createSocket("udp4");
  await new Promise<void>((resolve) => {
    liar.bind(0, "127.0.0.3", resolve);
  });
  await using resolver = await startFakeResolver((bytes, { port }) => {
    liar.send(encodeReply(bytes, ["203.0.113.66"]), port, "127.0.0.1");
    return undefined;
  });
  await using dns = await startDns({ table: [], resolvers: [resolver], timeoutMs: 500 });
  expect((await ask(dns.address, "udp", query)).rcode).toBe(2);
  expect(resolver.seen.length).toBeGreaterThan(0);
  liar.close();
});

test("7.2, B22: a large response comes whole over TCP and to a client that announces enough bytes, else truncated", async () => {
  const many = Array.from({ length: 90 }, (_, i) => `192.0.2.${String(i)}`);
  await using resolver = await startFakeResolver(answering({ [`${name}.`]: many }));
  await using dns = await startDns({ table: [], resolvers: [resolver] });
  const plain = await askUdpRaw(dns.address, query);
  expect(plain?.length).toBeLessThanOrEqual(512);
  expect(decodeMessage(plain ?? Buffer.alloc(0))).toMatchObject({
    id: 4711,
    rcode: 0,
    flags: { tc: true },
    answers: [],
  });
  const whole = await ask(dns.address, "tcp", query);
  expect([whole.answers.length, whole.flags.tc, whole.bytes > 1_400]).toEqual([90, false, true]);
  const announced = await ask(dns.address, "udp", encodeQuery(name, { ednsBytes: 4_096 }));
  expect([announced.answers.length, announced.flags.tc]).toEqual([90, false]);
});

test("7.2: a response that the resolver truncated is passed on unchanged", async () => {
  await using resolver = await startFakeResolver((bytes) => encodeReply(bytes, ["192.0.2.1"], 0x8380));
  await using dns = await startDns({ table: [], resolvers: [resolver] });
  expect(await ask(dns.address, "udp", query)).toMatchObject({ rcode: 0, flags: { tc: true }, answers: [{ type: 1 }] });
});

test("B22: with one percent of the packets lost no query fails", async () => {
  let packets = 0;
  const lossy: ResolverBehaviour = (bytes) => (++packets % 100 === 0 ? undefined : encodeReply(bytes, ["192.0.2.1"]));
  await using resolvers = await twoResolvers(lossy, lossy);
  await using dns = await startDns({ table: [], resolvers: resolvers.both, timeoutMs: 2_500 });
  let asked = 0;
  const askMany = async (): Promise<void> => {
    while (asked++ < 2_000) {
      // each question is new, so that none is helped by a reply of before
      const reply = await ask(dns.address, "udp", encodeQuery(`n${String(asked)}.example.org`));
      expect(reply.answers).toHaveLength(1);
    }
  };
  await Promise.all(Array.from({ length: 20 }, askMany));
  expect(packets).toBeGreaterThan(2_010);
  expect(dns.metrics.upstreamFailures.value()).toBe(0);
}, 30_000);

describe("B22: when no resolver responds", () => {
  test.each([
    ["says nothing", silent],
    ["says SERVFAIL", servFail],
  ])("and %s, what one has said before is said again before clients give up", async (_, broken) => {
    await using resolver = await startFakeResolver(goodForOneSecond);
    await using dns = await startDns({ table: [], resolvers: [resolver], timeoutMs: 2_500 });
    expect((await ask(dns.address, "udp", query)).answers).toMatchObject([{ ttl: 1 }]);
    resolver.behave(broken);
    await eventually(
      async () => {
        await ask(dns.address, "udp", query);
        expect(resolver.seen.length).toBeGreaterThan(1);
      },
      { withinMs: 5_000 },
    );
    const again = encodeQuery("WWW.example.org", { id: 99 });
    for (const transport of ["udp", "tcp"] as const) {
      const { value, tookMs } = await timed(() => ask(dns.address, transport, again));
      expect(value).toMatchObject({ id: 99, rcode: 0, questions: [{ name: "WWW.example.org." }] });
      expect(value.answers).toEqual([{ name: "WWW.example.org.", type: 1, class: 1, ttl: 1, data: "192.0.2.1" }]);
      expect(tookMs).toBeLessThan(2_400);
    }
    expect((await ask(dns.address, "udp", encodeQuery("other.example.org"))).rcode).toBe(2);
    expect((await ask(dns.address, "udp", encodeQuery(name, { type: "AAAA" }))).rcode).toBe(2);
    resolver.behave(answering({ [`${name}.`]: ["192.0.2.2"] }));
    expect((await ask(dns.address, "udp", query)).answers).toMatchObject([{ data: "192.0.2.2", ttl: 60 }]);
  });

  test("NXDOMAIN is not replaced by a stale response", async () => {
    await using resolver = await startFakeResolver(good);
    await using dns = await startDns({ table: [], resolvers: [resolver] });
    await ask(dns.address, "udp", query);
    resolver.behave(answering());
    expect((await ask(dns.address, "udp", query)).rcode).toBe(3);
  });
});

describe("resolv.conf", () => {
  test("changes are followed: other resolvers, another search domain, and a file that is missing for a while", async () => {
    await using resolvers = await twoResolvers(answering(), good);
    const { one, two } = resolvers;
    await using dns = await startDns({ table: [named("a.mesh", ["10.0.0.1"])], resolvers: [one] });
    expect((await ask(dns.address, "udp", query)).rcode).toBe(3);
    dns.writeResolvConf(`; comment\nnameserver not-an-address\nnameserver ${two.host}\nsearch other.search. x\n`);
    const aliased = encodeQuery("a.mesh.other.search");
    await eventually(
      async () => {
        expect((await ask(dns.address, "udp", query)).rcode).toBe(0);
        expect((await ask(dns.address, "udp", aliased)).answers.map(({ data }) => data)).toEqual([
          "a.mesh.",
          "10.0.0.1",
        ]);
      },
      { withinMs: 10_000 },
    );
    dns.removeResolvConf();
    await eventually(
      () =>
        expect(dns.records.map(({ message }) => message)).toContain(
          "cannot read resolv.conf; keeping the previous resolvers",
        ),
      { withinMs: 10_000 },
    );
    expect((await ask(dns.address, "udp", query)).rcode).toBe(0);
    dns.writeResolvConf(resolvConf([one]));
    await eventually(async () => expect((await ask(dns.address, "udp", query)).rcode).toBe(3), { withinMs: 10_000 });
  });

  test("without resolvers is logged once", async () => {
    await using dns = await startDns({ table: [] });
    dns.writeResolvConf(searchLine);
    const warnings = dns.records.filter(({ level }) => level === "warn").map(({ message }) => message);
    expect(warnings).toEqual(["resolv.conf has no resolver; only names of the mesh can be resolved"]);
  });
});

test("rough edge 26: a proxy that is its own resolver fails at once, warns once, and does not multiply queries", async () => {
  await using dns = await startDns({ table: [], ownResolver: true, timeoutMs: 20_000 });
  for (const transport of ["udp", "tcp"] as const) {
    const { value, tookMs } = await timed(() => ask(dns.address, transport, query));
    expect(value.rcode).toBe(2);
    expect(tookMs).toBeLessThan(3_500);
  }
  expect(dns.metrics.requests.value()).toBe(2);
  const warnings = dns.records.filter(({ level }) => level === "warn").map(({ message }) => message);
  expect(warnings).toEqual([expect.stringContaining("DNS query loop")]);
});

describe("a connection", () => {
  test("takes several queries, and responds to each as soon as it can", async () => {
    await using resolver = await startFakeResolver((bytes, seen) =>
      seen.name === "slow." ? undefined : good(bytes, seen),
    );
    await using dns = await startDns({ table: [], resolvers: [resolver], timeoutMs: 1_500 });
    const messages = ["slow", name, name].map((asked, id) => encodeQuery(asked, { id }));
    const replies = await askTcpRaw(dns.address, messages);
    expect(replies.map((reply) => reply.readUInt16BE(0))).toEqual([1, 2, 0]);
  });

  test("ends after 128 queries", async () => {
    await using resolver = await startFakeResolver(good);
    await using dns = await startDns({ table: [], resolvers: [resolver] });
    const replies = await askTcpRaw(
      dns.address,
      Array.from({ length: 140 }, () => query),
    );
    expect(replies).toHaveLength(128);
  });
});
