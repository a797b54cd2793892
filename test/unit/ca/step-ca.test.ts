// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { CaError } from "../../../src/ca/ca-error.ts";
import { isTlsRejection } from "../../../src/ca/step-ca.ts";

function failedCall(code: string): CaError {
  const cause = new Error("the request failed", { cause: Object.assign(new Error("socket"), { code }) });
  return new CaError("unreachable", "ca.example:443", "socket", { cause });
}

test.each([
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", true],
  ["EPROTO", true],
  ["ECONNRESET", true],
  ["EPIPE", true],
  ["ECONNREFUSED", false],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", false],
])("a call that fails with %s was ended by the CA in TLS: %s", (code, isRejection) => {
  expect(isTlsRejection(failedCall(code))).toBe(isRejection);
});
