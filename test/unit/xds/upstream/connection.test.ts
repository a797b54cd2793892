// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { keepsTokensSecret } from "../../../../src/xds/upstream/connection.ts";

test.each([
  ["127.0.0.1", true],
  ["127.8.8.8", true],
  ["::1", true],
  ["localhost", true],
  ["127.0.0.1.example.com", false],
  ["istiod.istio-system.svc", false],
  ["10.0.0.1", false],
  ["0.0.0.0", false],
])("without TLS, a token goes to %s: %s", (host, expected) => {
  const addresses = [
    { host: "127.0.0.1", port: 15_010 },
    { host, port: 15_010 },
  ];
  expect(keepsTokensSecret({ security: { kind: "plaintext" }, addresses })).toBe(expected);
});
