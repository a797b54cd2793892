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
  expect(probeAddress(settings)).toEqual(expected);
});
