// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { probeAddress } from "../../../../src/status/probes/app-prober.ts";

test.each([
  ["10.0.0.1", "127.0.0.6", { host: "10.0.0.1", localAddress: "127.0.0.6", family: 4 }],
  ["fd00::7", "::6", { host: "fd00::7", localAddress: "::6", family: 6 }],
  ["localhost", "127.0.0.6", { host: "localhost", localAddress: "127.0.0.6", family: 4 }],
  ["", "127.0.0.6", { host: "localhost", localAddress: "127.0.0.6", family: 4 }],
  ["::1", "127.0.0.6", { host: "::1" }],
])("a probe of %j from %s", (appHost, probeSourceAddress, expected) => {
  const settings = { port: 15_020, appHost, probeSourceAddress, probeKeepalive: false, probeHttp2: true };
  expect(probeAddress(settings, () => true)).toEqual(expected);
});

test.each([
  ["203.0.113.5", "127.0.0.6"],
  ["2001:db8::5", "::6"],
])(
  "B16: a probe of %s, which is on no interface of this machine, has no source address",
  (appHost, probeSourceAddress) => {
    expect(probeAddress({ appHost, probeSourceAddress }, () => false)).toEqual({ host: appHost });
    expect(probeAddress({ appHost, probeSourceAddress })).toEqual({ host: appHost });
  },
);

test("B16: loopback is this machine, in each spelling", () => {
  for (const appHost of ["::1", "0:0:0:0:0:0:0:1"]) {
    expect(probeAddress({ appHost, probeSourceAddress: "::6" })).toMatchObject({ localAddress: "::6" });
  }
});
