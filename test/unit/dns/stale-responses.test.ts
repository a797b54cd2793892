// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseQuery, type Query } from "../../../src/dns/query.ts";
import { StaleResponses } from "../../../src/dns/stale-responses.ts";
import { decodeMessage, encodeQuery, encodeReply, type QueryParts } from "../../support/dns-messages.ts";
import { testBudgets } from "../../support/budgets.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { fc } from "../../support/properties.ts";

function queryFor(name: string, parts: QueryParts = {}): Query {
  const parsed = parseQuery(encodeQuery(name, parts));
  if (parsed.kind !== "query") throw new Error("not a query");
  return parsed;
}

function kept(name = "a.example", response = encodeReply(encodeQuery(name), ["192.0.2.1"])) {
  const clock = new FakeClock();
  const stale = new StaleResponses(clock, testBudgets());
  stale.keep(queryFor(name), response);
  return { clock, stale };
}

test("a response is kept for the same question, in its letter case, for a day and with a short TTL", async () => {
  const { clock, stale } = kept();
  await clock.advance(24 * 3_600_000);
  const found = stale.find(queryFor("A.Example"));
  expect(decodeMessage(found ?? Buffer.alloc(0))).toMatchObject({
    questions: [{ name: "A.Example." }],
    answers: [{ name: "A.Example.", ttl: 30, data: "192.0.2.1" }],
  });
  await clock.advance(1);
  expect(stale.find(queryFor("a.example"))).toBeUndefined();
});

test.each<[string, QueryParts]>([
  ["of another type", { type: "AAAA" }],
  ["with EDNS", { ednsBytes: 1232 }],
  ["that checks by itself", { flags: 0x0110 }],
  ["without recursion", { flags: 0 }],
  ["of another class", { class: 3 }],
])("it is not used for a query %s", (_, parts) => {
  expect(kept().stale.find(queryFor("a.example", parts))).toBeUndefined();
});

test.each([
  ["is truncated", encodeReply(encodeQuery("a.example"), ["192.0.2.1"], 0x8380)],
  ["is NXDOMAIN", encodeReply(encodeQuery("a.example"), ["192.0.2.1"], 0x8183)],
  ["has no records", encodeReply(encodeQuery("a.example"), [])],
  ["is cut inside a record", encodeReply(encodeQuery("a.example"), ["192.0.2.1"]).subarray(0, -2)],
  [
    "is long",
    encodeReply(
      encodeQuery("a.example"),
      Array.from({ length: 300 }, () => "192.0.2.1"),
    ),
  ],
])("a response that %s is not kept", (_, response) => {
  expect(kept("a.example", response).stale.find(queryFor("a.example"))).toBeUndefined();
});

test("of more than a thousand the oldest are dropped", () => {
  const { stale } = kept();
  for (let i = 0; i < 1_000; i++) {
    const name = `n${String(i)}.example`;
    stale.keep(queryFor(name), encodeReply(encodeQuery(name), ["192.0.2.1"]));
  }
  expect(stale.find(queryFor("a.example"))).toBeUndefined();
  expect(stale.find(queryFor("n0.example"))).toBeDefined();
});

test("keeping any response is harmless, and a stale response has the same length", () => {
  const query = queryFor("a.example");
  const response = encodeReply(encodeQuery("a.example"), ["192.0.2.1", "192.0.2.2"]);
  const edits = fc.array(fc.tuple(fc.integer({ min: 2, max: response.length - 1 }), fc.nat(255)), { maxLength: 5 });
  fc.assert(
    fc.property(edits, fc.integer({ min: 12, max: response.length }), (changes, length) => {
      const damaged = Buffer.from(response);
      for (const [at, value] of changes) damaged.writeUInt8(value, at);
      const { stale } = kept("a.example", damaged.subarray(0, length));
      expect([undefined, length]).toContain(stale.find(query)?.length);
    }),
    { numRuns: 2_000 },
  );
});
