// SPDX-License-Identifier: Apache-2.0
import { Resolver } from "node:dns/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answering, failing, type ResolverBehaviour, startFakeResolver } from "../../fakes/fake-resolver.ts";
import { ask, askUdpRaw } from "../../support/dns-client.ts";
import {
  encodeFullReply,
  encodeQuery,
  encodeReply,
  type QueryParts,
  type TypeName,
} from "../../support/dns-messages.ts";
import { type DnsUnderTest, resolvConf, startDns } from "../../support/dns-under-test.ts";
import { eventually } from "../../support/eventually.ts";
import { kubernetes, named, replaceNames } from "../../support/name-tables.ts";

const remote = { registry: "Kubernetes", shortName: "details", namespace: "ns2" };
const table = [
  named("www.google.com", ["1.1.1.1"]),
  kubernetes("productpage", "ns1", ["9.9.9.9"]),
  kubernetes("example", "ns2", ["10.10.10.10"]),
  named("details.ns2.svc.cluster.remote", ["11.11.11.11", "12.12.12.12", "13.13.13.13", "14.14.14.14"], remote),
  kubernetes("svc-with-alt", "ns1", ["15.15.15.15"], ["svc-with-alt.ns1.svc.clusterset.local"]),
  named("ipv6.localhost", ["2001:db8:0:0:0:ff00:42:8329"]),
  named("ipv4.localhost", ["2.2.2.2"]),
  named("dual.localhost", ["2.2.2.2", "2001:db8:0:0:0:ff00:42:8329"]),
  named("*.wildcard", ["10.10.10.10"]),
  named("*.b.wildcard", ["11.11.11.11"]),
  named("*.svc.mesh.company.net", ["10.1.2.3"]),
  named("example.localhost.", ["3.3.3.3"]),
];
const search = "ns1.svc.cluster.local";
const v6 = "2001:db8:0:0:0:ff00:42:8329";
const nxdomain = 3;

interface Case {
  readonly name: string;
  readonly type?: TypeName;
  /** Records in the form `owner TYPE data`, sorted. */
  readonly records: readonly string[];
  readonly rcode?: number;
}

const address = (name: string, ip: string): string => `${name}. ${ip.includes(":") ? "AAAA" : "A"} ${ip}`;
const plain = (name: string, ip: string): Case => ({ name, records: [address(name, ip)] });
const alias = (name: string, ip: string): Case => ({
  name: `${name}.${search}`,
  records: [`${name}.${search}. CNAME ${name}.`, address(name, ip)],
});

const cases: readonly Case[] = [
  plain("www.google.com", "1.1.1.1"),
  alias("www.google.com", "1.1.1.1"),
  plain("www.bing.com", "204.79.197.200"),
  plain("productpage.ns1.svc.cluster.local", "9.9.9.9"),
  plain("productpage.ns1.svc", "9.9.9.9"),
  plain("productpage.ns1", "9.9.9.9"),
  plain("productpage", "9.9.9.9"),
  { name: `productpage.ns1.svc.cluster.local.${search}`, records: [], rcode: nxdomain },
  alias("productpage.ns1", "9.9.9.9"),
  { name: `productpage.ns1.${search}`, type: "AAAA", records: [] },
  plain("example.ns2", "10.10.10.10"),
  plain("example.ns2.svc", "10.10.10.10"),
  plain("example.ns2.svc.cluster.local", "10.10.10.10"),
  { name: "example", records: [], rcode: nxdomain },
  plain("svc-with-alt", "15.15.15.15"),
  plain("svc-with-alt.ns1.svc.cluster.local", "15.15.15.15"),
  plain("svc-with-alt.ns1.svc.clusterset.local", "15.15.15.15"),
  {
    name: "details.ns2.svc.cluster.remote",
    records: ["11.11.11.11", "12.12.12.12", "13.13.13.13", "14.14.14.14"].map((ip) =>
      address("details.ns2.svc.cluster.remote", ip),
    ),
  },
  { name: "details.ns2", records: [], rcode: nxdomain },
  plain("dual.localhost", "2.2.2.2"),
  { name: "dual.localhost", type: "AAAA", records: [address("dual.localhost", v6)] },
  { name: "ipv6.localhost", records: [] },
  { name: "ipv6.localhost", type: "AAAA", records: [address("ipv6.localhost", v6)] },
  { name: "ipv4.localhost", type: "AAAA", records: [] },
  plain("foo.wildcard", "10.10.10.10"),
  plain("a.b.wildcard", "11.11.11.11"),
  plain("foo.foons.svc.mesh.company.net", "10.1.2.3"),
  { name: "wildcard", records: [] },
  alias("foo.wildcard", "10.10.10.10"),
  plain("example.localhost", "3.3.3.3"),
];

const typeNames: Readonly<Record<number, string>> = { 1: "A", 5: "CNAME", 28: "AAAA" };

describe.each([
  ["udp", false],
  ["tcp", false],
  ["udp", true],
  ["tcp", true],
] as const)("over %s, parallel %s", (transport, parallel) => {
  const stack = new AsyncDisposableStack();
  let dns: DnsUnderTest | undefined;
  beforeAll(async () => {
    const resolver = stack.use(await startFakeResolver(answering({ "www.bing.com.": ["204.79.197.200"] })));
    dns = stack.use(await startDns({ table, resolvers: [resolver], parallel }));
  });
  afterAll(() => stack.disposeAsync());

  test.each(cases)("7.2: $name $type", async ({ name, type = "A", records, rcode = 0 }) => {
    if (dns === undefined) throw new Error("it did not start");
    const reply = await ask(dns.address, transport, encodeQuery(name, { type, id: 77 }));
    const seen = reply.answers.map((record) => `${record.name} ${typeNames[record.type] ?? "?"} ${record.data}`);
    expect(seen.sort()).toEqual([...records].sort());
    expect(reply).toMatchObject({ id: 77, rcode, questions: [{ name: `${name}.`, class: 1 }] });
    expect(reply.flags).toMatchObject({ qr: true, tc: false });
  });
});

async function askOne(name: string, parts: QueryParts = {}, transport: "udp" | "tcp" = "udp") {
  await using dns = await startDns({ table });
  return await ask(dns.address, transport, encodeQuery(name, parts));
}

describe("a name of the mesh", () => {
  test("2.4: the response is authoritative, with recursion available, a TTL of 30 s, the client's RD and CD, and EDNS only on request", async () => {
    const reply = await askOne("www.google.com", { flags: 0x0110 });
    expect(reply.flags).toEqual({ qr: true, aa: true, tc: false, rd: true, ra: true, ad: false, cd: true });
    expect(reply.answers).toEqual([{ name: "www.google.com.", type: 1, class: 1, ttl: 30, data: "1.1.1.1" }]);
    expect(reply.additionals).toEqual([]);
    expect((await askOne("www.google.com", { flags: 0x0000 })).flags).toMatchObject({ rd: false, cd: false });
  });

  test("2.4: each record keeps the letter case of the query", async () => {
    const reply = await askOne("wWw.GOOGLE.com");
    expect([...reply.questions, ...reply.answers].map(({ name }) => name)).toEqual([
      "wWw.GOOGLE.com.",
      "wWw.GOOGLE.com.",
    ]);
    const aliased = await askOne(`FOO.Wildcard.NS1.svc.cluster.local`);
    expect(aliased.answers.map(({ name, data }) => [name, data])).toEqual([
      ["FOO.Wildcard.NS1.svc.cluster.local.", "FOO.Wildcard."],
      ["FOO.Wildcard.", "10.10.10.10"],
    ]);
  });

  test("2.4: the addresses are in random order, after the alias", async () => {
    await using dns = await startDns({ table: [named("many.example", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])] });
    const orders = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const { answers } = await ask(dns.address, "udp", encodeQuery(`many.example.${search}`));
      expect(answers[0]?.data).toBe("many.example.");
      orders.add(
        answers
          .slice(1)
          .map(({ data }) => data)
          .join(),
      );
    }
    expect(orders.size).toBe(6);
  });

  test("2.4: a response that does not fit is truncated and marked: 30 of 300 addresses in 512 bytes, all over TCP", async () => {
    const addresses = Array.from({ length: 300 }, (_, i) => `10.1.${String(i >> 8)}.${String(i & 255)}`);
    await using dns = await startDns({ table: [named("big.test", addresses)] });
    const short = await ask(dns.address, "udp", encodeQuery("big.test"));
    expect(short).toMatchObject({ flags: { tc: true }, rcode: 0 });
    expect([short.answers.length, short.bytes <= 512]).toEqual([30, true]);
    const wider = await ask(dns.address, "udp", encodeQuery("big.test", { ednsBytes: 1232 }));
    expect([wider.answers.length, wider.flags.tc, wider.bytes <= 1232]).toEqual([74, true, true]);
    const whole = await ask(dns.address, "tcp", encodeQuery("big.test"));
    expect([whole.answers.length, whole.flags.tc]).toEqual([300, false]);
    const large = await ask(dns.address, "udp", encodeQuery("big.test", { ednsBytes: 65_535 }));
    expect([large.answers.length, large.flags.tc]).toEqual([300, false]);
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${String(dns.address.port)}`]);
    expect(await resolver.resolve4("big.test")).toHaveLength(300);
  });

  test("rough edge 36: the mesh's host of an address is used when the resolvers have none", async () => {
    const pod = kubernetes("web-0.web", "ns1", ["10.0.0.7"]);
    const mesh = [...table, kubernetes("web", "ns1", ["10.0.0.7", "10.0.0.8"]), pod, named("*.any", ["10.9.9.9"])];
    await using resolver = await startFakeResolver(answering());
    await using dns = await startDns({ table: mesh, resolvers: [resolver] });
    const hostOf = async (name: string): Promise<readonly string[]> => {
      const { answers } = await ask(dns.address, "udp", encodeQuery(name, { type: "PTR" }));
      return answers.map(({ data }) => data);
    };
    expect(await hostOf("1.1.1.1.in-addr.arpa")).toEqual(["www.google.com."]);
    expect(await hostOf("7.0.0.10.IN-ADDR.arpa")).toEqual(["web-0.web.ns1.svc.cluster.local."]);
    expect(await hostOf("8.0.0.10.in-addr.arpa")).toEqual(["web.ns1.svc.cluster.local."]);
    const nibbles = "9.2.3.8.2.4.0.0.0.0.f.f.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
    expect(await hostOf(`${nibbles}.ip6.arpa`)).toEqual(["ipv6.localhost."]);
    for (const name of ["9.9.9.10.in-addr.arpa", "1.1.1.in-addr.arpa", "999.1.1.1.in-addr.arpa", "1.ip6.arpa"]) {
      expect(await hostOf(name)).toEqual([]);
    }
    resolver.behave((query) => encodeReply(query, ["192.0.2.1"]));
    const first = await ask(dns.address, "udp", encodeQuery("1.1.1.1.in-addr.arpa", { type: "PTR" }));
    expect(first.answers).toMatchObject([{ data: "192.0.2.1" }]);
  });

  test("an EDNS query gets EDNS, an unknown version BADVERS", async () => {
    const reply = await askOne("www.google.com", { ednsBytes: 1232 });
    expect(reply.additionals).toMatchObject([{ name: ".", type: 41, class: 4096, ttl: 0x8000 }]);
    const other = await askOne("www.google.com", { ednsBytes: 1232, ednsVersion: 1 });
    expect(other).toMatchObject({ rcode: 0, answers: [], additionals: [{ ttl: 0x0100_8000 }] });
  });

  test.each(["MX", "TXT", "SRV", "HTTPS", "ANY", "PTR"] as const)(
    "2.4: a %s query is forwarded to a resolver",
    async (type) => {
      await using resolver = await startFakeResolver(answering());
      await using dns = await startDns({ table, resolvers: [resolver] });
      await ask(dns.address, "udp", encodeQuery("www.google.com", { type }));
      expect(resolver.seen).toHaveLength(1);
      await ask(dns.address, "udp", encodeQuery("www.google.com", { class: 3 }));
      expect(resolver.seen).toHaveLength(2);
    },
  );
});

const mesh = [
  ...table,
  named("api.ext.example", ["10.0.0.9"]),
  named("*.apps.example", ["10.0.0.8"]),
  kubernetes("svc-of-alt", "ns1", ["10.0.0.7"], ["svc.alt.example"]),
];
const otherTypes = ["MX", "TXT", "SRV", "HTTPS", "SOA", "ANY"] as const;

describe("C19: what exists in the mesh exists for each type", () => {
  test.each(["udp", "tcp"] as const)("no data instead of NXDOMAIN, with an SOA record, over %s", async (transport) => {
    await using resolver = await startFakeResolver(answering());
    await using dns = await startDns({ table: mesh, resolvers: [resolver] });
    const names = ["api.ext.example", "x.y.apps.example", "productpage", "api.ext.example.NS1.svc.cluster.local"];
    for (const name of names) {
      for (const type of [...otherTypes, "AAAA"] as const) {
        const reply = await ask(dns.address, transport, encodeQuery(name, { type, ednsBytes: 1232 }));
        expect([name, type, reply.rcode, reply.answers]).toEqual([name, type, 0, []]);
        expect(reply.authorities).toMatchObject([{ name: `${name}.`, type: 6, ttl: 30 }]);
        expect(reply.questions).toMatchObject([{ name: `${name}.` }]);
      }
    }
    expect((await ask(dns.address, transport, encodeQuery("other.example", { type: "TXT" }))).rcode).toBe(nxdomain);
    expect((await ask(dns.address, transport, encodeQuery("api.ext.example", { class: 3 }))).rcode).toBe(nxdomain);
  });

  test("an alias by the search domain has a CNAME record", async () => {
    await using resolver = await startFakeResolver(answering());
    await using dns = await startDns({ table: mesh, resolvers: [resolver] });
    const reply = await ask(dns.address, "udp", encodeQuery(`Api.ext.example.${search}`, { type: "CNAME" }));
    expect(reply.answers).toMatchObject([{ name: `Api.ext.example.${search}.`, data: "Api.ext.example." }]);
  });

  test("names above it exist too, but not where a client only tries a search domain", async () => {
    await using resolver = await startFakeResolver(answering());
    await using dns = await startDns({ table: mesh, resolvers: [resolver] });
    const codes = async (name: string): Promise<readonly number[]> =>
      await Promise.all(
        (["A", "AAAA", "TXT"] as const).map(
          async (type) => (await ask(dns.address, "udp", encodeQuery(name, { type }))).rcode,
        ),
      );
    for (const name of ["ext.example", "example", "apps.example", "alt.example", "Google.com"]) {
      expect([name, await codes(name)]).toEqual([name, [0, 0, 0]]);
    }
    // musl stops its search at the first name that exists
    for (const name of ["google.com.ns1.svc.cluster.local", "ns2.svc.cluster.local", "ns1", "xt.example"]) {
      expect([name, await codes(name)]).toEqual([name, [nxdomain, nxdomain, nxdomain]]);
    }
  });

  test("what a resolver has of such a name, or does not say, is passed on", async () => {
    await using resolver = await startFakeResolver(failing(0x8182));
    await using dns = await startDns({ table: mesh, resolvers: [resolver], timeoutMs: 500 });
    expect((await ask(dns.address, "udp", encodeQuery("www.google.com", { type: "TXT" }))).rcode).toBe(2);
    resolver.behave((query) => encodeReply(query, ["192.0.2.1"]));
    const reply = await ask(dns.address, "udp", encodeQuery("www.google.com", { type: "MX" }));
    expect(reply.answers).toMatchObject([{ data: "192.0.2.1" }]);
  });
});

describe("C19: what a resolver has said is reused", () => {
  test("for its TTL, over both transports, in the query's letter case", async () => {
    await using resolver = await startFakeResolver(answering({ "www.bing.com.": ["1.2.3.4"] }));
    await using dns = await startDns({ table, resolvers: [resolver] });
    for (const transport of ["udp", "tcp", "udp"] as const) {
      const reply = await ask(dns.address, transport, encodeQuery("wWw.Bing.com", { id: 7 }));
      expect(reply).toMatchObject({ id: 7, rcode: 0, answers: [{ name: "wWw.Bing.com.", data: "1.2.3.4" }] });
    }
    expect(resolver.seen).toHaveLength(1);
    resolver.behave(answering({ "www.bing.com.": ["1.2.3.5"] }, 1));
    dns.writeResolvConf(`${resolvConf([resolver])}search other.example\n`);
    await eventually(
      async () => {
        expect((await ask(dns.address, "udp", encodeQuery("www.bing.com"))).answers).toMatchObject([
          { data: "1.2.3.5" },
        ]);
      },
      { withinMs: 3_000 },
    );
  });

  test("also that there is no such name, for the time of the SOA record", async () => {
    await using resolver = await startFakeResolver((query) =>
      encodeFullReply(query, [], { flags: 0x8183, negative: [2, 60] }),
    );
    await using dns = await startDns({ table, resolvers: [resolver] });
    const rcodeOf = async (name: string) => (await ask(dns.address, "udp", encodeQuery(name))).rcode;
    expect([await rcodeOf("no.example"), await rcodeOf("no.example")]).toEqual([nxdomain, nxdomain]);
    expect(resolver.seen).toHaveLength(1);
    // the table decides about its names, also when the response is a reused one
    const text = async () => (await ask(dns.address, "udp", encodeQuery("www.google.com", { type: "TXT" }))).rcode;
    expect([await text(), await text()]).toEqual([0, 0]);
    expect(resolver.seen).toHaveLength(2);
    resolver.behave(answering({ "no.example.": ["192.0.2.1"] }));
    await eventually(async () => expect(await rcodeOf("no.example")).toBe(0), { withinMs: 5_000 });
  });

  test("a response that a client over UDP cannot take is not cut: the resolver says what fits", async () => {
    const many = Array.from({ length: 100 }, (_, index) => `192.0.2.${String(index)}`);
    await using resolver = await startFakeResolver((query, { transport }) =>
      transport === "tcp" ? encodeReply(query, many) : encodeReply(query, many.slice(0, 20), 0x8380),
    );
    await using dns = await startDns({ table, resolvers: [resolver] });
    const { address } = dns;
    expect((await ask(address, "tcp", encodeQuery("many.example"))).answers).toHaveLength(100);
    const short = await ask(address, "udp", encodeQuery("many.example"));
    expect([short.flags.tc, short.answers.length]).toEqual([true, 20]);
    expect((await ask(address, "tcp", encodeQuery("many.example"))).answers).toHaveLength(100);
    expect(resolver.seen.map(({ transport }) => transport)).toEqual(["tcp", "udp"]);
  });
});

describe("2.4: the message", () => {
  const query = encodeQuery("www.google.com");
  const changed = (...bytes: readonly (readonly [number, number])[]): Buffer => {
    const copy = Buffer.from(query);
    for (const [at, value] of bytes) copy.writeUInt8(value, at);
    return copy;
  };

  test.each([
    ["a status request", changed([2, 0x10]), 4],
    ["a dynamic update", changed([2, 0x28]), 4],
    ["no question", changed([5, 0]), 1],
    ["two questions", changed([5, 2]), 1],
    ["two answers", changed([7, 2]), 1],
    ["two authorities", changed([9, 2]), 1],
    ["three additionals", changed([11, 3]), 1],
    ["an additional that is not there", changed([11, 1]), 1],
    ["a question that is cut off", query.subarray(0, query.length - 3), 1],
    ["a name that points at itself", changed([12, 0xc0], [13, 12]), 1],
    ["a label of 64 letters", changed([12, 64]), 1],
    ["a header alone", query.subarray(0, 12), 1],
  ])("%s is rejected", async (_, bytes, rcode) => {
    await using dns = await startDns({ table });
    const reply = await askUdpRaw(dns.address, bytes);
    expect(reply?.length).toBe(12);
    expect([reply?.readUInt16BE(0), (reply?.readUInt8(2) ?? 0) >> 7, (reply?.readUInt8(3) ?? 0) & 15]).toEqual([
      0x1234,
      1,
      rcode,
    ]);
  });

  test.each([
    ["a reply", changed([2, 0x81])],
    ["less than a header", query.subarray(0, 11)],
    ["nothing", Buffer.alloc(0)],
    ["garbage that looks like a reply", Buffer.alloc(40, 0xff)],
  ])("%s is met with silence", async (_, bytes) => {
    await using dns = await startDns({ table });
    expect(await askUdpRaw(dns.address, bytes, 150)).toBeUndefined();
    expect((await ask(dns.address, "udp", query)).answers).toHaveLength(1);
    expect(dns.metrics.requests.value()).toBe(1);
  });
});

describe("2.4: before the first table", () => {
  test("an address query waits for it", async () => {
    await using resolver = await startFakeResolver(
      answering({ "www.bing.com.": ["1.2.3.4"], "www.google.com.": ["8.8.8.8"] }),
    );
    await using dns = await startDns({ resolvers: [resolver] });
    const both = ask(dns.address, "udp", encodeQuery("www.google.com"));
    const early = ask(dns.address, "udp", encodeQuery("productpage.ns1"));
    const foreign = ask(dns.address, "tcp", encodeQuery("www.bing.com"));
    await ask(dns.address, "udp", encodeQuery("www.google.com", { type: "TXT" }));
    await replaceNames(dns.names, table);
    expect((await both).answers).toMatchObject([{ data: "1.1.1.1" }]);
    expect((await early).answers).toMatchObject([{ data: "9.9.9.9" }]);
    expect((await foreign).answers).toMatchObject([{ data: "1.2.3.4" }]);
  });

  test("C19: without a control plane, names that a resolver has resolve from the first second, over both transports", async () => {
    await using resolver = await startFakeResolver(answering({ "www.bing.com.": ["1.2.3.4"] }));
    await using dns = await startDns({ resolvers: [resolver] });
    const startMs = performance.now();
    const first = await Promise.all(
      (["udp", "tcp"] as const).map((transport) => ask(dns.address, transport, encodeQuery("www.bing.com"))),
    );
    expect(performance.now() - startMs).toBeLessThan(1_900);
    for (const { answers } of first) expect(answers).toMatchObject([{ data: "1.2.3.4" }]);
    const laterMs = performance.now();
    expect((await ask(dns.address, "udp", encodeQuery("www.bing.com"))).answers).toHaveLength(1);
    expect(performance.now() - laterMs).toBeLessThan(900);
  });

  test("C19: without a control plane, a search list reaches its end, and nothing remembers that a name is missing", async () => {
    const missing: ResolverBehaviour = (query, { name, type }) =>
      name === "www.bing.com." && type === 1
        ? encodeReply(query, ["1.2.3.4"])
        : encodeFullReply(query, [], { flags: 0x8183, negative: [30, 30] });
    await using resolver = await startFakeResolver(missing);
    await using dns = await startDns({ resolvers: [resolver] });
    const startMs = performance.now();
    for (const domain of ["ns1.svc.cluster.local", "svc.cluster.local", "cluster.local"]) {
      const reply = await ask(dns.address, "udp", encodeQuery(`www.bing.com.${domain}`));
      expect(reply).toMatchObject({ rcode: nxdomain, answers: [], authorities: [] });
    }
    expect((await ask(dns.address, "udp", encodeQuery("www.bing.com"))).answers).toHaveLength(1);
    expect(performance.now() - startMs).toBeLessThan(8_000);
    const late = await ask(dns.address, "udp", encodeQuery("productpage.ns1"));
    expect(late.rcode).toBe(nxdomain);
    await replaceNames(dns.names, table);
    expect((await ask(dns.address, "udp", encodeQuery("productpage.ns1"))).answers).toHaveLength(1);
  }, 20_000);

  test("the machine's own resolver forwards everything", async () => {
    await using resolver = await startFakeResolver(answering({ "www.google.com.": ["8.8.8.8"] }));
    await using dns = await startDns({ resolvers: [resolver], beforeTable: "forward" });
    expect((await ask(dns.address, "udp", encodeQuery("www.google.com"))).answers).toMatchObject([{ data: "8.8.8.8" }]);
    await replaceNames(dns.names, table);
    expect((await ask(dns.address, "udp", encodeQuery("www.google.com"))).answers).toMatchObject([{ data: "1.1.1.1" }]);
  });
});
