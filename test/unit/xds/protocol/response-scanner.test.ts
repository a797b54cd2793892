// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { DeltaDiscoveryResponse, DiscoveryResponse } from "../../../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { parseResponse, renderResponse } from "../../../../src/xds/protocol/response.ts";
import { ResponseScanner } from "../../../../src/xds/protocol/response-scanner.ts";
import { WireError } from "../../../../src/xds/protocol/wire.ts";
import { fc } from "../../../support/properties.ts";
import { reachableBytes } from "../../../support/reachable-bytes.ts";
import { testBudgets } from "../../../support/budgets.ts";

const textBytes = testBudgets().of("xds-text-bytes");

const text = fc.string({ maxLength: 12 });
const any = fc.record({
  typeUrl: fc.constant("t/x"),
  value: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});

function scan(bytes: Uint8Array, protocol: "sotw" | "delta", cut: number): ResponseScanner {
  const scanner = new ResponseScanner(protocol, bytes.length, textBytes);
  for (let at = 0; at < bytes.length; at += cut) scanner.push(bytes.subarray(at, at + cut));
  return scanner;
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) + 0x80, ...varint(Math.floor(value / 0x80))];
}

test("a delta response is read the same in chunks of any size", () => {
  const response = fc.record({
    systemVersionInfo: text,
    typeUrl: text,
    nonce: text,
    removedResources: fc.array(text, { maxLength: 3 }),
    resources: fc.array(fc.record({ name: text, version: text, resource: any }), { maxLength: 5 }),
  });
  fc.assert(
    fc.property(response, fc.integer({ min: 1, max: 400 }), (given, cut) => {
      const message = DeltaDiscoveryResponse.fromPartial(given);
      const scanner = scan(DeltaDiscoveryResponse.encode(message).finish(), "delta", cut);
      expect(scanner.version).toBe(given.systemVersionInfo);
      expect(scanner.typeUrl).toBe(given.typeUrl);
      expect(scanner.nonce).toBe(given.nonce);
      expect(scanner.removed).toEqual(given.removedResources);
      expect([...scanner.resources]).toEqual(given.resources.map(({ name, version }) => ({ name, version })));
      expect(scanner.resourceTypeUrl).toBe(given.resources.length > 0 ? "t/x" : "");
    }),
  );
});

test("the type of a state-of-the-world response is known from its first resource", () => {
  const resources = [{ typeUrl: "t/cluster", value: Buffer.alloc(5_000) }];
  const message = DiscoveryResponse.fromPartial({ versionInfo: "7", typeUrl: "t/cluster", nonce: "n", resources });
  const bytes = DiscoveryResponse.encode(message).finish();
  const scanner = new ResponseScanner("sotw", bytes.length, textBytes);
  scanner.push(bytes.subarray(0, 40));
  expect(scanner.knownTypeUrl).toBe("t/cluster");
  expect(scanner.nonce).toBe("");
  scanner.push(bytes.subarray(40));
  expect([scanner.version, scanner.typeUrl, scanner.nonce, scanner.resourceCount]).toEqual(["7", "t/cluster", "n", 1]);
});

test("for any bytes, scanning ends, and fails only with WireError", { timeout: 60_000 }, () => {
  const hostile = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(
      hostile,
      fc.constantFrom("sotw" as const, "delta" as const),
      fc.integer({ min: 1, max: 50 }),
      (bytes, protocol, cut) => {
        for (const read of [() => scan(bytes, protocol, cut), () => parseResponse(bytes, protocol)]) {
          try {
            read();
          } catch (error) {
            expect(error).toBeInstanceOf(WireError);
          }
        }
      },
    ),
    { numRuns: 45_000 },
  );
});

test("a truncated message, or one with a changed byte, never fails in another way", () => {
  const resources = [{ name: "a", version: "1", any: Buffer.from([0x0a, 1, 0x61, 0x12, 2, 3, 4]) }];
  const bytes = renderResponse({ typeUrl: "t", version: "v", nonce: "n", resources, removed: ["r"] }, "delta");
  for (let at = 0; at < bytes.length; at++) {
    for (const change of [1, 0x80, 0xff]) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ change, at);
      try {
        scan(changed, "delta", 3);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }
  }
});

test("of a long message only the names are kept", () => {
  const pieceBytes = 64 * 1024;
  const pieces = 3_200;
  const scanner = new ResponseScanner("sotw", pieces * pieceBytes, textBytes);
  scanner.push(Uint8Array.from([0x12, ...varint(pieces * pieceBytes - 6), 0x12, ...varint(pieces * pieceBytes - 12)]));
  const before = reachableBytes();
  for (let piece = 1; piece < pieces; piece++) scanner.push(Buffer.alloc(pieceBytes, piece));
  // of 200 MB
  expect(reachableBytes() - before).toBeLessThan(1024 * 1024);
});

test("a string above the limit is rejected before it is kept", () => {
  const scanner = new ResponseScanner("sotw", 2 ** 31, textBytes);
  expect(() => {
    scanner.push(Uint8Array.from([0x2a, 0xff, 0xff, 0xff, 0x7f]));
  }).toThrow(WireError);
});
