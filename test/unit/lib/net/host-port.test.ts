// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { formatHostPort, parseHostPort } from "../../../../src/lib/net/host-port.ts";

test("IPv6 goes into brackets, nothing else does", () => {
  const hosts = ["::1", "fe80::1%eth0", "10.0.0.1", "istiod.istio-system.svc"];
  expect(hosts.map((host) => formatHostPort({ host, port: 15_012 }))).toEqual([
    "[::1]:15012",
    "[fe80::1%eth0]:15012",
    "10.0.0.1:15012",
    "istiod.istio-system.svc:15012",
  ]);
});

test.each([
  ["istiod.istio-system.svc:15012", { host: "istiod.istio-system.svc", port: 15_012 }],
  ["10.0.0.1:1", { host: "10.0.0.1", port: 1 }],
  ["[2001:db8::1]:65535", { host: "2001:db8::1", port: 65_535 }],
  ["istiod.:80", { host: "istiod.", port: 80 }],
])("%s is a host and a port", (text, expected) => {
  expect(parseHostPort(text)).toEqual(expected);
});

test.each([
  ["istiod", /missing port in address$/],
  ["2001:db8::1:80", /too many colons in address; IPv6 needs brackets$/],
  ["istiod:http", /^port \(http\) is not a number$/],
  ["istiod:0", /^port number 0 must be in the range 1\.\.65535$/],
  ["istiod:65536", /^port number 65536 must be/],
  ["a_b:80", /^"a_b" is not a valid hostname or an IP address$/],
  ["10.0.0.256:80", /is not a valid hostname/],
  ["[istiod]:80", /is not a valid hostname/],
])("%s is not, and the problem says why", (text, problem) => {
  expect(parseHostPort(text)).toMatch(problem);
});
