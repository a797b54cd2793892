// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { parseJwt, signJwt, verifyJwtSignature } from "../../../../src/lib/pki/jwt.ts";

const keys = {
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey,
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
};

describe.each(["RS256", "ES256"] as const)("%s", (algorithm) => {
  const key = keys[algorithm];
  const text = signJwt(key, { sub: "web", aud: "ca", exp: 10, nbf: 5 }, { kid: "k" });

  test("a signed token is parsed, and verified with the private or the public key", () => {
    const token = parseJwt(text);
    expect(token).toMatchObject({
      algorithm,
      claims: { subject: "web", audiences: ["ca"], expiresMs: 10_000, notBeforeMs: 5_000 },
    });
    if (token === undefined) throw new Error("not parsed");
    expect(verifyJwtSignature(token, key)).toBe(true);
    expect(verifyJwtSignature(token, createPublicKey(key))).toBe(true);
  });

  test("the signature covers header and claims, and the key has the algorithm's type", () => {
    const token = parseJwt(text);
    const other = parseJwt(signJwt(key, { sub: "api" }));
    if (token === undefined || other === undefined) throw new Error("not parsed");
    expect(verifyJwtSignature({ ...token, signed: other.signed }, key)).toBe(false);
    expect(verifyJwtSignature(token, keys[algorithm === "RS256" ? "ES256" : "RS256"])).toBe(false);
    expect(verifyJwtSignature({ ...token, algorithm: "none" }, key)).toBe(false);
  });

  test("a token with critical extensions, of which none are known, is not verified", () => {
    const token = parseJwt(signJwt(key, { sub: "web" }, { crit: ["b64"], b64: false }));
    if (token === undefined) throw new Error("not parsed");
    expect(verifyJwtSignature(token, key)).toBe(false);
  });
});

test("a text that is not a JWT is undefined; claims of another type are absent", () => {
  for (const text of ["", "a.b", "a.b.c", "e30.e30", "e30.Zm9v.x"]) expect(parseJwt(text)).toBeUndefined();
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  expect(parseJwt(`${part({ alg: 7 })}.${part({ sub: 1, aud: ["a", 2], exp: "soon" })}.`)).toMatchObject({
    algorithm: undefined,
    claims: { subject: undefined, audiences: ["a"], expiresMs: undefined, notBeforeMs: undefined },
  });
});
