// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { issueToken, verifyToken } from "../../../src/ca/embedded/signing-service.ts";
import { signJwt } from "../../../src/lib/pki/jwt.ts";
import { newKey, publicKeyOf } from "../../support/test-authority.ts";

const nowMs = Date.parse("2026-06-01T12:00:00Z");
const key = newKey();
const request = { namespace: "demo", serviceAccount: "web", audience: "istio-ca", ttlMs: 60_000 };
const good = issueToken(key, request, nowMs);

/** A token with these claims, signed like the CA's own unless the header differs. */
function token(claims: object, header: object = {}): string {
  return signJwt(key, claims, header);
}

const claims = { sub: "system:serviceaccount:demo:web", aud: ["istio-ca"], exp: nowMs / 1_000 + 60 };

test("a token of the CA is accepted until it expires", () => {
  const account = { namespace: "demo", serviceAccount: "web" };
  for (const keys of [[key], [publicKeyOf(key)], [newKey(), key]]) {
    expect(verifyToken(good, keys, "istio-ca", nowMs)).toEqual(account);
    expect(verifyToken(token(claims), keys, "istio-ca", nowMs + 59_999)).toEqual(account);
  }
});

test.each([
  ["that has expired", token({ ...claims, exp: nowMs / 1_000 }), /it has expired/],
  ["that never expires", token({ ...claims, exp: undefined }), /it has expired/],
  ["that begins later", token({ ...claims, nbf: nowMs / 1_000 + 120 }), /it is not valid yet/],
  ["for another audience", token({ ...claims, aud: ["vault"] }), /its audience is not istio-ca/],
  ["without an audience", token({ ...claims, aud: undefined }), /its audience is not istio-ca/],
  ["of a user", token({ ...claims, sub: "admin" }), /its subject is not a service account/],
  ["without a signature algorithm", token(claims, { alg: "none" }), /it must be signed with ES256 or RS256/],
  ["with changed claims", good.replace(/\.[^.]*\./, `.${token(claims).split(".")[1] ?? ""}.`), /its signature/],
  ["that is not a JWT", "nonsense", /it is not a JWT/],
])("a token %s is rejected", (_title, text, problem) => {
  expect(() => verifyToken(text, [key], "istio-ca", nowMs)).toThrow(problem);
});

test("a token by an unknown key is rejected", () => {
  expect(() => verifyToken(issueToken(newKey(), request, nowMs), [key], "istio-ca", nowMs)).toThrow(/its signature/);
});
