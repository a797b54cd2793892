// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseQuery, type Query } from "../../../src/dns/query.ts";
import { StaleReplies } from "../../../src/dns/stale-responses.ts";
import { decodeMessage, encodeQuery, encodeReply, type QueryParts } from "../../support/dns-messages.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { fc } from "../../support/properties.ts";

function asked(name: string, parts: QueryParts = {}): Query {
  const parsed = parseQuery(encodeQuery(name, parts));
  if (parsed.kind !== "query") throw new Error("not a query");
  return parsed;
}

function kept(name = "a.example", reply = encodeReply(encodeQuery(name), ["192.0.2.1"])) {
  const clock = new FakeClock();
  const stale = new StaleReplies(clock);
  stale.keep(asked(name), reply);
  return { clock, stale };
}

test("a reply is there for the same question, in its letter case, for a day and with a short TTL", async () => {
  const { clock, stale } = kept();
  await clock.advance(24 * 3_600_000);
  const found = stale.find(asked("A.Example"));
  expect(decodeMessage(found ?? Buffer.alloc(0))).toMatchObject({
    questions: [{ name: "A.Example." }],
    answers: [{ name: "A.Example.", ttl: 30, data: "192.0.2.1" }],
  });
  await clock.advance(1);
  expect(stale.find(asked("a.example"))).toBeUndefined();
});

test.each<[string, QueryParts]>([
  ["of another type", { type: "AAAA" }],
  ["with EDNS", { ednsBytes: 1232 }],
  ["that checks by itself", { flags: 0x0110 }],
  ["without recursion", { flags: 0 }],
  ["of another class", { class: 3 }],
])("it is not for a question %s", (_, parts) => {
  expect(kept().stale.find(asked("a.example", parts))).toBeUndefined();
});

test.each([
  ["is cut", encodeReply(encodeQuery("a.example"), ["192.0.2.1"], 0x8380)],
  ["says that there is no such name", encodeReply(encodeQuery("a.example"), ["192.0.2.1"], 0x8183)],
  ["has no records", encodeReply(encodeQuery("a.example"), [])],
  ["ends inside a record", encodeReply(encodeQuery("a.example"), ["192.0.2.1"]).subarray(0, -2)],
  [
    "is long",
    encodeReply(
      encodeQuery("a.example"),
      Array.from({ length: 300 }, () => "192.0.2.1"),
    ),
  ],
])("a reply that %s is not kept", (_, reply) => {
  expect(kept("a.example", reply).stale.find(asked("a.example"))).toBeUndefined();
});

test("of more than a thousand the oldest give way", () => {
  const { stale } = kept();
  for (let i = 0; i < 1_000; i++) {
    const name = `n${String(i)}.example`;
    stale.keep(asked(name), encodeReply(encodeQuery(name), ["192.0.2.1"]));
  }
  expect(stale.find(asked("a.example"))).toBeUndefined();
  expect(stale.find(asked("n0.example"))).toBeDefined();
});

test("whatever a reply has in it, keeping it does no harm, and what is given is as long", () => {
  const query = asked("a.example");
  const reply = encodeReply(encodeQuery("a.example"), ["192.0.2.1", "192.0.2.2"]);
  const edits = fc.array(fc.tuple(fc.integer({ min: 2, max: reply.length - 1 }), fc.nat(255)), { maxLength: 5 });
  fc.assert(
    fc.property(edits, fc.integer({ min: 12, max: reply.length }), (changes, length) => {
      const damaged = Buffer.from(reply);
      for (const [at, value] of changes) damaged.writeUInt8(value, at);
      const { stale } = kept("a.example", damaged.subarray(0, length));
      expect([undefined, length]).toContain(stale.find(query)?.length);
    }),
    { numRuns: 2_000 },
  );
});
