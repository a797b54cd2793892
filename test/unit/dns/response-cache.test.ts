// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseQuery, type Query } from "../../../src/dns/query.ts";
import { ResponseCache } from "../../../src/dns/response-cache.ts";
import {
  decodeMessage,
  encodeFullReply,
  encodeQuery,
  encodeReply,
  type QueryParts,
  type ReplyParts,
} from "../../support/dns-messages.ts";
import { testBudgets } from "../../support/budgets.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { fc } from "../../support/properties.ts";

function queryFor(name: string, parts: QueryParts = {}): Query {
  const parsed = parseQuery(encodeQuery(name, parts));
  if (parsed.kind !== "query") throw new Error("not a query");
  return parsed;
}

function kept(name = "a.example", response = encodeReply(encodeQuery(name), ["192.0.2.1"])) {
  const { clock, cache, keep } = emptyCache();
  keep(queryFor(name), response);
  return { clock, cache, find: (query: Query) => cache.find(query, resolvers)?.response };
}

const resolvers = ["127.0.0.1"];

function emptyCache(random = 0) {
  const clock = new FakeClock();
  const cache = new ResponseCache({ clock, random: () => random, budgets: testBudgets() });
  const keep = (query: Query, response: Buffer): void => {
    cache.keep(query, response, resolvers);
  };
  return { clock, cache, keep };
}

test("a response is kept for the same question, in its letter case, for a day and with a short TTL", async () => {
  const { clock, find } = kept();
  await clock.advance(24 * 3_600_000);
  const found = find(queryFor("A.Example"));
  expect(decodeMessage(found ?? Buffer.alloc(0))).toMatchObject({
    questions: [{ name: "A.Example." }],
    answers: [{ name: "A.Example.", ttl: 30, data: "192.0.2.1" }],
  });
  await clock.advance(1);
  expect(find(queryFor("a.example"))).toBeUndefined();
});

test.each<[string, QueryParts]>([
  ["of another type", { type: "AAAA" }],
  ["with EDNS", { ednsBytes: 1232 }],
  ["that checks by itself", { flags: 0x0110 }],
  ["without recursion", { flags: 0 }],
  ["of another class", { class: 3 }],
])("it is not used for a query %s", (_, parts) => {
  expect(kept().find(queryFor("a.example", parts))).toBeUndefined();
});

test.each([
  ["is truncated", encodeReply(encodeQuery("a.example"), ["192.0.2.1"], 0x8380)],
  ["is NXDOMAIN without an SOA record", encodeReply(encodeQuery("a.example"), ["192.0.2.1"], 0x8183)],
  ["has no records and no SOA record", encodeReply(encodeQuery("a.example"), [])],
  ["is cut inside a record", encodeReply(encodeQuery("a.example"), ["192.0.2.1"]).subarray(0, -2)],
  [
    "is long",
    encodeReply(
      encodeQuery("a.example"),
      Array.from({ length: 300 }, () => "192.0.2.1"),
    ),
  ],
])("a response that %s is not kept", (_, response) => {
  expect(kept("a.example", response).find(queryFor("a.example"))).toBeUndefined();
});

test("of more than a thousand the oldest are dropped", () => {
  const { cache, find } = kept();
  for (let i = 0; i < 1_000; i++) {
    const name = `n${String(i)}.example`;
    cache.keep(queryFor(name), encodeReply(encodeQuery(name), ["192.0.2.1"]), resolvers);
  }
  expect(find(queryFor("a.example"))).toBeUndefined();
  expect(find(queryFor("n0.example"))).toBeDefined();
});

test("keeping any response is harmless, and a kept response is no longer than it was", () => {
  const query = queryFor("a.example");
  const response = encodeReply(encodeQuery("a.example"), ["192.0.2.1", "192.0.2.2"]);
  const edits = fc.array(fc.tuple(fc.integer({ min: 2, max: response.length - 1 }), fc.nat(255)), { maxLength: 5 });
  fc.assert(
    fc.property(edits, fc.integer({ min: 12, max: response.length }), (changes, length) => {
      const damaged = Buffer.from(response);
      for (const [at, value] of changes) damaged.writeUInt8(value, at);
      const { find } = kept("a.example", damaged.subarray(0, length));
      // what looks like an EDNS record is left out
      expect(find(query)?.length ?? 0).toBeLessThanOrEqual(length);
    }),
    { numRuns: 2_000 },
  );
});

/** How long a response to the query is fresh, in seconds: tried at each second. */
async function freshSeconds(parts: ReplyParts, addresses: readonly string[] = []): Promise<number> {
  const { clock, cache, keep } = emptyCache();
  keep(queryFor("a.example"), encodeFullReply(encodeQuery("a.example"), addresses, parts));
  for (let seconds = 0; ; seconds++) {
    if (cache.find(queryFor("a.example"), resolvers)?.isFresh !== true) return seconds;
    await clock.advance(1_000);
  }
}

test("C19: a response is fresh as long as its TTL says, one without records as long as its SOA record says", async () => {
  expect(await freshSeconds({ ttl: 5 }, ["192.0.2.1"])).toBe(5);
  expect(await freshSeconds({ ttl: 0 }, ["192.0.2.1"])).toBe(0);
  expect(await freshSeconds({ ttl: 0xffff_ffff }, ["192.0.2.1"])).toBe(0);
  expect(await freshSeconds({ flags: 0x8183, negative: [9, 4] })).toBe(4);
  expect(await freshSeconds({ flags: 0x8183, negative: [3, 60] })).toBe(3);
  expect(await freshSeconds({ negative: [7, 7] })).toBe(7);
  expect(await freshSeconds({ flags: 0x8183 })).toBe(0);
  expect(await freshSeconds({ flags: 0x8182, negative: [9, 9] })).toBe(0);
  expect(await freshSeconds({ flags: 0x8385, negative: [9, 9] })).toBe(0);
});

test("C19: TTLs of a reused response count down, and become those of a stale one after it", async () => {
  const { clock, find } = kept();
  const ttl = (): number | undefined => decodeMessage(find(queryFor("a.example")) ?? Buffer.alloc(0)).answers[0]?.ttl;
  await clock.advance(20_000);
  expect(ttl()).toBe(40);
  await clock.advance(39_500);
  expect(ttl()).toBe(1);
  await clock.advance(500);
  expect(ttl()).toBe(30);
});

test("C19: a response of other resolvers is not fresh", () => {
  const { cache } = kept();
  expect(cache.find(queryFor("a.example"), resolvers)?.isFresh).toBe(true);
  expect(cache.find(queryFor("a.example"), ["127.0.0.1"])?.isFresh).toBe(false);
});

test("C19: each address of a reused response is first in turn", () => {
  const all = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
  const orders = [0, 0.4, 0.9].map((random) => {
    const { cache, keep } = emptyCache(random);
    keep(queryFor("a.example"), encodeReply(encodeQuery("a.example"), all));
    const { answers } = decodeMessage(cache.find(queryFor("a.example"), resolvers)?.response ?? Buffer.alloc(0));
    return answers.map(({ data }) => data);
  });
  expect(orders.map(([first]) => first)).toEqual(all);
  for (const order of orders) expect([...order].sort()).toEqual(all);
});

test("C19: the EDNS record of a reused response is the agent's own, without options of another query", () => {
  const cookie = Buffer.from("000a00080102030405060708", "hex");
  const subnet = Buffer.from("000800070001180001020300", "hex").subarray(0, 11);
  const ask = (ednsOptions: Buffer): Query => queryFor("a.example", { ednsBytes: 1232, ednsOptions });
  const response = encodeFullReply(encodeQuery("a.example"), ["192.0.2.1"], { ednsOptions: cookie });
  const { cache, keep } = emptyCache();
  keep(ask(cookie), response);
  const found = decodeMessage(cache.find(ask(Buffer.alloc(0)), resolvers)?.response ?? Buffer.alloc(0));
  expect(found).toMatchObject({ answers: [{ data: "192.0.2.1" }], additionals: [{ type: 41, data: "" }] });
  expect(cache.find(ask(subnet), resolvers)).toBeUndefined();
  const other = emptyCache();
  other.keep(ask(subnet), response);
  expect(other.cache.find(ask(Buffer.alloc(0)), resolvers)).toBeUndefined();
});
