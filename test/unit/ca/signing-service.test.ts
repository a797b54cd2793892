// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { X509Certificate } from "node:crypto";
import {
  type AuthenticatedRequest,
  issueToken,
  signRequest,
  verifyToken,
} from "../../../src/ca/embedded/signing-service.ts";
import { createKeyAndRequest } from "../../../src/cert/csr.ts";
import { testBudgets } from "../../support/budgets.ts";
import { signJwt } from "../../../src/lib/pki/jwt.ts";
import { newKey, publicKeyOf, testAuthority } from "../../support/test-authority.ts";

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

const ca = testAuthority("ca", nowMs);
const web = "spiffe://cluster.local/ns/demo/sa/web";

/** @param uris the names of the client certificate; undefined presents none */
async function signedFor(
  uris: readonly string[] | undefined,
  more: Partial<AuthenticatedRequest> = {},
): Promise<string> {
  const { csrPem } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, web);
  const pem = uris === undefined ? undefined : ca.issue({ publicKey: publicKeyOf(newKey()), uris }, nowMs);
  const clientCertificate = pem === undefined ? undefined : new X509Certificate(pem).raw;
  const policy = { trustDomain: "cluster.local", audience: "istio-ca", defaultTtlMs: 60_000, maxTtlMs: 60_000 };
  const { spiffeId } = signRequest(
    {
      issuer: ca.issuer,
      rootPem: ca.rootPem,
      rootNotBeforeMs: nowMs,
      rootNotAfterMs: nowMs + 3_600_000,
      tokenKey: key,
    },
    { ...policy, backdateMs: 0, tokenKeys: [key], csrBytes: testBudgets().of("embedded-ca-csr-bytes") },
    { csrPem, ttlMs: 0, authorization: undefined, clientCertificate, ...more },
    nowMs,
  );
  return spiffeId;
}

test("A10: a client certificate of the CA authenticates its account, without a token or with a dead one", async () => {
  expect(await signedFor([web])).toBe(web);
  expect(await signedFor([web], { authorization: "Bearer nonsense" })).toBe(web);
  expect(await signedFor(["spiffe://old.example/ns/demo/sa/web"])).toBe(web);
  expect(await signedFor(undefined, { authorization: `Bearer ${good}` })).toBe(web);
});

test.each([
  ["of another account", ["spiffe://cluster.local/ns/demo/sa/api"], /caller is .*sa\/api, but/],
  ["of another namespace", ["spiffe://cluster.local/ns/other/sa/web"], /caller is .*ns\/other/],
  ["of a server", [], /no bearer token and no client certificate/],
  ["with two names", [web, "spiffe://cluster.local/ns/demo/sa/api"], /no bearer token and no client certificate/],
  ["with another path", ["spiffe://cluster.local/ns/demo/sa/web/more"], /no bearer token and no client certificate/],
])("A10: a client certificate %s does not authenticate the workload", async (_name, uris, problem) => {
  await expect(signedFor(uris)).rejects.toThrow(problem);
});
