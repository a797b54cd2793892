// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { isStale } from "../../../src/ca/bearer-token.ts";

const nowMs = Date.parse("2026-06-01T00:00:00Z");

function jwt(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part(claims)}.c2ln`;
}

test.each([
  ["10 minutes left", jwt({ exp: nowMs / 1_000 + 600 }), true],
  ["30 minutes left", jwt({ exp: nowMs / 1_000 + 1_800 }), false],
  ["none", undefined, true],
  ["no end in it", jwt({}), true],
  ["malformed", "not.a-jwt", true],
])("C9: a cloud token with %s is fetched again: %s", (_name, token, stale) => {
  expect(isStale(token, nowMs)).toBe(stale);
});
