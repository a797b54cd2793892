// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Findings } from "../../../../src/config/config-error.ts";
import { nodeIps } from "../../../../src/config/sections/node-ips.ts";

const eth0 = { name: "eth0", loopback: false, addresses: ["10.1.2.3", "fe80::1"] };
const net1 = { name: "net1", loopback: false, addresses: ["192.168.7.9"] };
const lo = { name: "lo", loopback: true, addresses: ["127.0.0.1", "::1"] };

function ips(
  instanceIp: string,
  interfaces: Parameters<typeof nodeIps>[0]["interfaces"],
  excludedInterfaces: readonly string[] = [],
) {
  return nodeIps({ instanceIp, interfaces, excludedInterfaces }, new Findings());
}

test("the given address comes first, and no address twice", () => {
  expect(ips("192.168.7.9", [lo, eth0, net1])).toEqual(["192.168.7.9", "10.1.2.3"]);
});

test("addresses that others cannot reach are left out", () => {
  const odd = {
    name: "x",
    loopback: false,
    addresses: ["169.254.1.1", "::", "ff02::1", "::ffff:10.9.9.9", "2001:DB8::1"],
  };
  expect(ips("", [odd])).toEqual(["10.9.9.9", "2001:db8::1"]);
});

test("a pod without a visible interface has its own address and loopback", () => {
  expect(ips("10.1.2.3", [lo])).toEqual(["10.1.2.3", "127.0.0.1", "::1"]);
});

test("interfaces are excluded by name, with or without spaces, but the given address stays", () => {
  expect(ips("10.1.2.3", [eth0, net1], ["eth0", " net1 "])).toEqual(["10.1.2.3"]);
});

test("a name that no interface has is reported", () => {
  const findings = new Findings();
  nodeIps({ instanceIp: "", interfaces: [eth0], excludedInterfaces: ["nope"] }, findings);
  expect(findings.warnings.map(({ message }) => message)).toEqual(["there is no interface nope"]);
});
