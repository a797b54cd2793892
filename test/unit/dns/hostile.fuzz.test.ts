// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { findAddresses, isAddressQuery } from "../../../src/dns/local-response.ts";
import { maxResponseBytes, parseQuery } from "../../../src/dns/query.ts";
import { withId } from "../../../src/dns/message.ts";
import { fitResponse, isResponseTo, renderAddresses, renderError, renderInvalid } from "../../../src/dns/response.ts";
import { decodeMessage, encodeQuery, encodeReply, types, type TypeName } from "../../support/dns-messages.ts";
import { lookupTableOf, named } from "../../support/name-tables.ts";
import { fc } from "../../support/properties.ts";

const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/);
const ending = fc.constantFrom("", ".mesh", ".Mesh.Search");
const name = fc
  .tuple(fc.array(label, { minLength: 1, maxLength: 6 }), ending)
  .map(([labels, end]) => labels.join(".") + end);
const type = fc.constantFrom(...(Object.keys(types) as TypeName[]));
const query = fc
  .record({ name, type, id: fc.nat(0xffff), flags: fc.nat(0x7ff), edns: fc.option(fc.nat(0xffff)) })
  .map(({ name: sent, edns, ...parts }) => {
    return encodeQuery(sent, { ...parts, ...(edns === null ? {} : { ednsBytes: edns }) });
  });
/** A query with some of its bytes changed, cut off or added. */
const damaged = fc
  .record({
    message: query,
    changes: fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
    length: fc.nat(120),
    tail: fc.uint8Array({ maxLength: 40 }),
  })
  .map(({ message, changes, length, tail }) => {
    const bytes = Buffer.concat([message.subarray(0, length), tail]);
    for (const [at, value] of changes) if (at < bytes.length) bytes.writeUInt8(value, at);
    return bytes;
  });
const anything = fc.oneof(
  damaged,
  query,
  fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
);

const runs = { numRuns: 4_000 };
const addresses = Array.from({ length: 200 }, (_, i) => `10.0.0.${String(i)}`);
const everything = await lookupTableOf([named("*.mesh", addresses)]);

describe("a message of a client", () => {
  test("is a query, is rejected in twelve bytes, or is ignored; it never throws", () => {
    const kinds = { query: 0, invalid: 0, ignored: 0 };
    fc.assert(
      fc.property(anything, (bytes) => {
        const parsed = parseQuery(bytes);
        kinds[parsed.kind]++;
        if (parsed.kind === "invalid") {
          const response = renderInvalid(parsed);
          expect(response).toHaveLength(12);
          expect(response.length).toBeLessThanOrEqual(bytes.length);
          expect(decodeMessage(response)).toMatchObject({ id: bytes.readUInt16BE(0), flags: { qr: true } });
        } else if (parsed.kind === "query") {
          const response = decodeMessage(renderError(parsed, 2));
          expect(response).toMatchObject({ id: parsed.id, rcode: 2, flags: { qr: true, aa: false, tc: false } });
          expect(response.questions).toEqual([expect.objectContaining({ type: parsed.type, class: parsed.class })]);
        }
      }),
      runs,
    );
    for (const count of Object.values(kinds)) expect(count).toBeGreaterThan(200);
  });

  test("gets a response from the table that is well-formed and no longer than the client can take", () => {
    let count = 0;
    fc.assert(
      fc.property(anything, fc.constantFrom("udp" as const, "tcp" as const), (bytes, transport) => {
        const parsed = parseQuery(bytes);
        if (parsed.kind !== "query" || !isAddressQuery(parsed)) return;
        const found = findAddresses(parsed, everything, "search.", Math.random);
        if (found === undefined) return;
        count++;
        const longest = maxResponseBytes(parsed, transport);
        const response = renderAddresses(parsed, found, longest);
        expect(response.length).toBeLessThanOrEqual(longest);
        const read = decodeMessage(response);
        expect(read.flags.tc).toBe(
          read.answers.filter(({ type: kind }) => kind === parsed.type).length < found.addresses.length,
        );
        expect(read.additionals).toHaveLength(parsed.edns === undefined ? 0 : 1);
      }),
      runs,
    );
    expect(count).toBeGreaterThan(100);
  });
});

describe("a message of a resolver", () => {
  test("is a response to the query, or is ignored; it never throws, and is never longer than the client can take", () => {
    let accepted = 0;
    fc.assert(
      fc.property(query, anything, fc.boolean(), fc.nat(0xffff), (message, noise, isEcho, id) => {
        const sent = parseQuery(message);
        if (sent.kind !== "query") return;
        const bytes = isEcho ? Buffer.concat([withId(encodeReply(message), id), noise]) : noise;
        const isResponse = isResponseTo(bytes, sent, id);
        expect(isResponse || !isEcho).toBe(true);
        if (!isResponse) return;
        accepted++;
        const longest = maxResponseBytes(sent, "udp");
        const fitted = fitResponse(bytes, sent, longest);
        expect(fitted.length).toBeLessThanOrEqual(longest);
        expect(fitted.readUInt16BE(0)).toBe(sent.id);
        expect(fitted.subarray(2).equals(bytes.subarray(2)) || bytes.length > longest).toBe(true);
      }),
      runs,
    );
    expect(accepted).toBeGreaterThan(1_000);
  });

  test("under another ID or with another question is not a response to it", () => {
    fc.assert(
      fc.property(query, query, fc.nat(0xffff), fc.nat(0xffff), (message, other, id, otherId) => {
        const sent = parseQuery(message);
        if (sent.kind !== "query") return;
        const response = withId(encodeReply(message), id);
        expect(isResponseTo(response, sent, otherId)).toBe(id === otherId);
        const question = sent.question.toString("latin1").toLowerCase();
        const parsed = parseQuery(other);
        const isSame = parsed.kind === "query" && parsed.question.toString("latin1").toLowerCase() === question;
        expect(isResponseTo(withId(encodeReply(other), id), sent, id)).toBe(isSame);
      }),
      { numRuns: 1_000 },
    );
  });
});
