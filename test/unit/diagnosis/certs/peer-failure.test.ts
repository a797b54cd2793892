// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import {
  ConnectionClosedError,
  explainConnectError,
  explainHandshakeError,
} from "../../../../src/diagnosis/certs/peer-failure.ts";
import { DeadlineError } from "../../../../src/lib/async/clock.ts";

const coded = (code: string): Error => Object.assign(new Error("text of the library"), { code });
const target = { host: "reviews.demo", port: 9080 };

test.each([
  [coded("ENOTFOUND"), "name-unknown", "the name reviews.demo is not known"],
  [coded("EAI_AGAIN"), "name-unknown", "no resolver responded for reviews.demo"],
  [coded("ECONNREFUSED"), "not-listening", "nothing listens at reviews.demo:9080"],
  [
    new AggregateError([coded("EHOSTUNREACH"), coded("ECONNREFUSED")]),
    "unreachable",
    "reviews.demo:9080 cannot be reached",
  ],
  [coded("EHOSTUNREACH"), "unreachable", "reviews.demo:9080 cannot be reached: text of the library"],
  [new DeadlineError(5_000), "unreachable", "reviews.demo:9080 did not accept a connection in time"],
])("without a connection: %s", (error, problem, text) => {
  expect(explainConnectError(error, target)).toMatchObject({
    problem,
    reason: expect.stringContaining(text) as string,
  });
});

const withPair = { presented: true, secured: true };
const withoutPair = { presented: false, secured: true };

test.each([
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", withPair, "certificate-rejected", /unknown ca.*roots of both/],
  ["ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED", withPair, "certificate-rejected", /certificate expired.*--renew/],
  ["ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED", withPair, "certificate-rejected", /revoked.*revocation list/],
  [
    "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE",
    withoutPair,
    "certificate-required",
    /none was presented \(alert: bad certificate/,
  ],
  ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", withPair, "certificate-required", /requires a client certificate/],
  ["ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL", withPair, "protocol-mismatch", /no application protocol/],
  ["ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR", withPair, "handshake-failed", /internal error.*log/],
  ["ERR_SSL_WRONG_VERSION_NUMBER", withPair, "plaintext", /does not speak TLS/],
  ["ECONNRESET", { presented: true, secured: false }, "closed", /without saying why.*--sni/],
  ["ECONNRESET", withPair, "certificate-rejected", /right after the handshake.*rejected this workload/],
  ["ECONNRESET", withoutPair, "certificate-required", /right after the handshake.*requires a client certificate/],
  ["ERR_SSL_OTHER", withPair, "handshake-failed", /the TLS handshake failed: text of the library/],
])("%s in the handshake, %j", (code, state, problem, text) => {
  const found = explainHandshakeError(coded(code), state);
  expect(found.problem).toBe(problem);
  expect(`${found.reason} -> ${found.advice}`).toMatch(text);
});

test("a peer that closes and one that hangs are told apart", () => {
  const before = { presented: true, secured: false };
  expect(explainHandshakeError(new ConnectionClosedError("closed"), before).problem).toBe("closed");
  expect(explainHandshakeError(new DeadlineError(5_000), before).problem).toBe("handshake-timeout");
});
