// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseSpiffeBundle } from "../../../src/cert/spiffe-bundles.ts";
import { testAuthority } from "../../support/test-authority.ts";

const [first, second] = [testAuthority("first", Date.now()), testAuthority("second", Date.now())];

function keyOf(pem: string): object {
  const base64 = pem.replaceAll(/-----[A-Z ]+-----|\s/g, "");
  return { kty: "EC", crv: "P-256", use: "x509-svid", x5c: [base64], x: "", y: "" };
}

test("a SPIFFE bundle gives its X.509 roots and how often it is read", () => {
  const jwt = { kty: "EC", use: "jwt-svid", kid: "a", crv: "P-256", x: "", y: "" };
  const keys = [jwt, keyOf(first.rootPem), keyOf(second.rootPem), { kty: "EC", use: "new" }];
  const text = JSON.stringify({ keys, spiffe_sequence: 3, spiffe_refresh_hint: 600 });
  expect(parseSpiffeBundle(text)).toEqual({ rootsPem: first.rootPem + second.rootPem, refreshMs: 600_000 });
});

test.each([
  [undefined, 300_000],
  ["600", 300_000],
  [0, 300_000],
  [1, 60_000],
  [86_400, 3_600_000],
])("a refresh hint of %j is read every %d ms", (hint, refreshMs) => {
  const text = JSON.stringify({ keys: [keyOf(first.rootPem)], spiffe_refresh_hint: hint });
  expect(parseSpiffeBundle(text).refreshMs).toBe(refreshMs);
});

test.each([
  ["no JSON", "<html>", "no JSON object"],
  ["a list", "[]", "no JSON object"],
  ["no keys", "{}", "no key for x509-svid"],
  ["keys of JWTs only", JSON.stringify({ keys: [{ use: "jwt-svid", x5c: ["AA=="] }] }), "no key for x509-svid"],
  ["a key without a certificate", JSON.stringify({ keys: [{ use: "x509-svid" }] }), "one certificate"],
  ["a key with a chain", JSON.stringify({ keys: [{ use: "x509-svid", x5c: ["AA==", "AA=="] }] }), "one certificate"],
])("%s is no SPIFFE bundle", (_name, text, problem) => {
  expect(() => parseSpiffeBundle(text)).toThrow(problem);
});
