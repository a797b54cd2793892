// SPDX-License-Identifier: Apache-2.0
import { isIP, isIPv6, SocketAddress } from "node:net";
import { expect, test } from "vitest";
import {
  canonicalIp,
  formatIp,
  ipBytes,
  ipFamily,
  isIpv4,
  isIpv6,
  isLoopbackHost,
} from "../../../../src/lib/net/ip-address.ts";
import { fc } from "../../../support/properties.ts";

const group = fc.stringMatching(/^[0-9a-fA-F]{0,5}$/);
const likelyIpv6 = fc.array(group, { minLength: 1, maxLength: 9 }).map((groups) => groups.join(":"));
const likelyMapped = fc.tuple(likelyIpv6, fc.ipV4()).map(([head, tail]) => `${head}:${tail}`);

test("what is an address is decided as Node decides it", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.ipV4Extended(), likelyIpv6, likelyMapped, fc.string()), (text) => {
      expect(ipFamily(text)).toBe(isIP(text));
    }),
    { numRuns: 2_000 },
  );
});

test("the one spelling is the one that the system prints", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV6(), likelyMapped), (text) => {
      const expected = isIPv6(text) ? new SocketAddress({ address: text, family: "ipv6" }).address : undefined;
      // The system prints the outdated "IPv4-compatible" form with dots; RFC 5952 leaves that to the reader.
      if (expected !== undefined && /^::[0-9.]+$/.test(expected) && expected.includes(".")) return;
      expect(canonicalIp(text)).toBe(expected);
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  ["2001:DB8:0:0::5", "2001:db8::5"],
  ["::ffff:10.1.2.3", "::ffff:10.1.2.3"],
  ["::ffff:a01:203", "::ffff:10.1.2.3"],
  ["::", "::"],
  ["fe80::1%eth0", "fe80::1"],
  ["10.1.2.3", "10.1.2.3"],
  ["10.1.2.3,10.1.2.4", undefined],
  ["10.01.2.3", undefined],
])("%s is written %s", (text, expected) => {
  expect(canonicalIp(text)).toBe(expected);
});

test("families are told apart", () => {
  expect([isIpv4("127.0.0.1"), isIpv6("127.0.0.1"), isIpv4("::1"), isIpv6("::1")]).toEqual([true, false, false, true]);
});

test("an address and its bytes are the same thing", () => {
  expect(ipBytes("10.1.2.255")).toEqual(Uint8Array.of(10, 1, 2, 255));
  expect(ipBytes("2001:db8::ff")).toEqual(Uint8Array.of(0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff));
  expect(ipBytes("10.1.2.0/24")).toBeUndefined();
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const bytes = ipBytes(text);
      expect(bytes === undefined ? undefined : formatIp(bytes)).toBe(canonicalIp(text));
    }),
  );
});

test("a host is loopback by its text only", () => {
  for (const host of [
    "localhost",
    "LOCALHOST",
    "127.0.0.1",
    "127.9.8.7",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "[::ffff:127.0.0.1]",
  ])
    expect([host, isLoopbackHost(host)]).toEqual([host, true]);
  for (const host of [
    "",
    "127.evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "128.0.0.1",
    "0.0.0.0",
    "::",
    "::2",
  ])
    expect([host, isLoopbackHost(host)]).toEqual([host, false]);
});
