// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { BlockedAddresses } from "../../../../src/xds/wasm/blocked-addresses.ts";

describe("an address of IPv6 that leads to a metadata server is blocked:", () => {
  const blocked = new BlockedAddresses([]);
  test.each([
    ["mapped", "::ffff:a9fe:a9fe"],
    ["mapped, with dots", "::FFFF:169.254.169.254"],
    ["compatible", "::a9fe:a9fe"],
    ["translated", "::ffff:0:169.254.169.254"],
    ["NAT64", "64:ff9b::169.254.169.254"],
    ["NAT64 of the network's own, 48 bits", "64:ff9b:1:a9fe:a9:fe00::"],
    ["NAT64 of the network's own, 56 bits", "64:ff9b:1:a9:fe:a9fe::"],
    ["NAT64 of the network's own, 64 bits", "64:ff9b:1::a9:fea9:fe00:0"],
    ["NAT64 of the network's own, 96 bits", "64:ff9b:1::169.254.169.254"],
    ["6to4", "2002:a9fe:a9fe::1"],
    ["Teredo's server", "2001:0:a9fe:a9fe::1"],
    ["Teredo's client", "2001::5601:5601"],
    ["link-local with a zone", "fe80::1%eth0"],
    ["the cloud's own", "fd00:ec2::254"],
  ])("%s", (_, address) => {
    expect(blocked.has(address)).toBe(true);
    expect(() => {
      blocked.assertAllowed(`[${address}]`);
    }).toThrow(/is blocked/);
  });

  test.each(["64:ff9b::8.8.8.8", "2002:808:808::1", "2001:db8::a9fe:a9fe", "::ffff:8.8.8.8", "2001:4860::8888"])(
    "but not %s",
    (address) => {
      expect(blocked.has(address)).toBe(false);
    },
  );
});

test.each(["::ffff:7f00:1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "::1", "::", "0.0.0.0", "127.9.9.9"])(
  "%s is this machine",
  (address) => {
    expect(new BlockedAddresses([]).has(address)).toBe(false);
    expect(new BlockedAddresses([]).andLoopback.has(address)).toBe(true);
  },
);
