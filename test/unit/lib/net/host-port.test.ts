// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { formatHostPort } from "../../../../src/lib/net/host-port.ts";

test("IPv6 goes into brackets, nothing else does", () => {
  const hosts = ["::1", "fe80::1%eth0", "10.0.0.1", "istiod.istio-system.svc"];
  expect(hosts.map((host) => formatHostPort({ host, port: 15_012 }))).toEqual([
    "[::1]:15012",
    "[fe80::1%eth0]:15012",
    "10.0.0.1:15012",
    "istiod.istio-system.svc:15012",
  ]);
});
