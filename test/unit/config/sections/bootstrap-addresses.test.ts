// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { bootstrapAddresses } from "../../../../src/config/sections/bootstrap-section.ts";

const v4 = { local: "127.0.0.1", wildcard: "0.0.0.0" };
const v6 = { local: "::1", wildcard: "::" };

describe("B16: Envoy's own listeners serve each family that the pod has", () => {
  test.each([
    ["IPv6 first, as of pods whose first address the kubelet probes", ["fd00:7::5", "10.7.0.5"]],
    ["IPv4 first", ["10.7.0.5", "fd00:7::5"]],
  ])("%s, without dual stack", (_name, ips) => {
    expect(bootstrapAddresses(ips, false)).toEqual({ ...v4, additional: v6, dnsLookupFamily: "V4_ONLY" });
  });

  test.each([
    [["10.7.0.5"], { ...v4, additional: undefined, dnsLookupFamily: "V4_ONLY" }],
    [["fd00:7::5"], { ...v6, additional: undefined, dnsLookupFamily: "V6_ONLY" }],
  ])("of one family: %j", (ips, expected) => {
    expect(bootstrapAddresses(ips, false)).toEqual(expected);
    expect(bootstrapAddresses(ips, true)).toEqual(expected);
  });

  test("with dual stack the first address decides which family comes first", () => {
    expect(bootstrapAddresses(["fd00:7::5", "10.7.0.5"], true)).toEqual({
      ...v6,
      additional: v4,
      dnsLookupFamily: "ALL",
    });
    expect(bootstrapAddresses(["10.7.0.5", "fd00:7::5"], true)).toEqual({
      ...v4,
      additional: v6,
      dnsLookupFamily: "ALL",
    });
  });
});
