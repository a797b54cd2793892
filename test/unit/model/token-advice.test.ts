// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { adviceOnRejection } from "../../../src/model/token-advice.ts";

const nowMs = Date.parse("2026-12-01T10:00:00Z");
const spiffeId = "spiffe://cluster.local/ns/demo/sa/web";

function tokenOf(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part(claims)}.c2ln`;
}

const good = {
  aud: ["istio-ca"],
  sub: "system:serviceaccount:demo:web",
  iss: "https://kubernetes.default.svc",
  exp: nowMs / 1_000 + 7_200,
};

test.each([
  [
    "UNAUTHENTICATED",
    tokenOf({ ...good, aud: ["vault"] }),
    /in \/token is for the audience "vault", istiod expects "istio-ca": mount/,
  ],
  ["UNAUTHENTICATED", tokenOf({ ...good, aud: undefined }), /is for no audience/],
  [
    "UNAUTHENTICATED",
    tokenOf({ ...good, sub: "system:serviceaccount:demo:other" }),
    /is of "demo\/other", not of spiffe.*: set POD_NAMESPACE/,
  ],
  [
    "UNAUTHENTICATED",
    tokenOf(good),
    /of "demo\/web" for "istio-ca", valid for 2 h: check that its issuer .*"https:\/\/kubernetes/,
  ],
  ["UNAUTHENTICATED", "opaque", /\/token, which is not a JWT/],
  ["UNAUTHENTICATED", undefined, /no token was sent/],
  ["PERMISSION_DENIED", tokenOf(good), /^allow spiffe:\/\/cluster.local\/ns\/demo\/sa\/web there/],
  ["PERMISSION_DENIED", "opaque", /^allow spiffe:.* there/],
] as const)("%s of %s", (status, token, advice) => {
  expect(adviceOnRejection(status, spiffeId, { token, source: "/token", nowMs })).toMatch(advice);
});

test("a claim cannot write to the terminal, nor show more than its beginning", () => {
  const token = tokenOf({ ...good, aud: [`\u001b[2J${"x".repeat(10_000)}`] });
  const advice = adviceOnRejection("UNAUTHENTICATED", spiffeId, { token, source: "/token", nowMs });
  expect(advice).not.toContain("\u001b");
  expect(advice.length).toBeLessThan(400);
});
