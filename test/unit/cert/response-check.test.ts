// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { ResponseError, type ResponseProblem } from "../../../src/cert/errors.ts";
import { checkResponse } from "../../../src/cert/response-check.ts";
import type { SignedChain } from "../../../src/model/signing.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../../support/test-authority.ts";
import { testBudgets } from "../../support/budgets.ts";

const nowMs = Date.parse("2026-06-01T12:00:00Z");
const minuteMs = 60_000;
const privateKey = newKey();
const publicKey = publicKeyOf(privateKey);
const ca = testAuthority("root A", nowMs);
const other = testAuthority("root B", nowMs);
const expected = {
  privateKey,
  spiffeId: testSpiffeId,
  strictTrustDomain: false,
  nowMs,
  maxSkewMs: minuteMs,
  budgets: testBudgets(),
};
const good = ca.issue({ publicKey }, nowMs);

function problemOf(response: SignedChain): ResponseProblem | undefined {
  try {
    checkResponse(response, expected);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(ResponseError);
    return error instanceof ResponseError ? error.failure : undefined;
  }
}

describe("a CA's response", () => {
  test("that is good is split into its parts", () => {
    const checked = checkResponse({ chainPem: good, rootsPem: ca.rootPem }, expected);
    expect(checked.leaf.pem).toBe(good);
    expect(checked.chain.map((one) => one.pem)).toEqual([good]);
    expect(checked.anchor.pem).toBe(ca.rootPem);
    expect(checked.leaf.notAfterMs).toBe(nowMs + 60 * minuteMs);
  });

  test("brings the roots of other CAs, but is not verified against them", () => {
    const stranger = other.issue({ publicKey }, nowMs);
    const both = checkResponse({ chainPem: good, rootsPem: ca.rootPem, otherRootsPem: other.rootPem }, expected);
    expect(both.roots.map((root) => root.pem)).toEqual([ca.rootPem, other.rootPem]);
    expect(problemOf({ chainPem: stranger, rootsPem: ca.rootPem, otherRootsPem: other.rootPem })).toBe("untrusted");
  });

  test("keeps intermediates and drops roots from the chain", () => {
    const between = testAuthority("between", nowMs);
    const betweenPem = ca.issue(
      { subject: "between", publicKey: publicKeyOf(between.issuer.privateKey), use: "authority", uris: [] },
      nowMs,
    );
    const leaf = between.issue({ publicKey }, nowMs);
    const chainPem = leaf + betweenPem + ca.rootPem;
    const checked = checkResponse({ chainPem, rootsPem: other.rootPem + ca.rootPem }, expected);
    expect(checked.chain.map((one) => one.pem)).toEqual([leaf, betweenPem]);
    expect(problemOf({ chainPem: leaf, rootsPem: ca.rootPem })).toBe("untrusted");
  });

  const rootsPem = ca.rootPem;
  test.each<[string, SignedChain, ResponseProblem]>([
    ["without a certificate", { chainPem: "", rootsPem }, "malformed"],
    ["without a root", { chainPem: good, rootsPem: "" }, "malformed"],
    ["with text that is no PEM", { chainPem: "nonsense", rootsPem }, "malformed"],
    [
      "with a block that is no certificate",
      { chainPem: good.replaceAll("CERTIFICATE", "OTHER"), rootsPem },
      "malformed",
    ],
    ["with broken DER", { chainPem: good.replace(/MII.{20}/, "AAAA".repeat(5) + "AAA"), rootsPem }, "malformed"],
    ["for another key", { chainPem: ca.issue({ publicKey: publicKeyOf(newKey()) }, nowMs), rootsPem }, "wrong-key"],
    [
      "for another identity",
      { chainPem: ca.issue({ publicKey, uris: ["spiffe://cluster.local/ns/demo/sa/api"] }, nowMs), rootsPem },
      "wrong-identity",
    ],
    [
      "for two identities",
      { chainPem: ca.issue({ publicKey, uris: [testSpiffeId, "spiffe://x/y"] }, nowMs), rootsPem },
      "wrong-identity",
    ],
    ["for no identity", { chainPem: ca.issue({ publicKey, uris: [] }, nowMs), rootsPem }, "wrong-identity"],
    [
      "that expired",
      { chainPem: ca.issue({ publicKey, notBeforeMs: nowMs - 9 * minuteMs, notAfterMs: nowMs }, nowMs), rootsPem },
      "expired",
    ],
    [
      "that begins too late",
      { chainPem: ca.issue({ publicKey, notBeforeMs: nowMs + 2 * minuteMs }, nowMs), rootsPem },
      "not-yet-valid",
    ],
    ["under another root", { chainPem: good, rootsPem: other.rootPem }, "untrusted"],
    ["whose root is the leaf", { chainPem: good, rootsPem: good }, "untrusted"],
  ])("%s is rejected", (_name, answer, problem) => {
    expect(problemOf(answer)).toBe(problem);
  });

  test("that begins within the allowed skew is accepted", () => {
    expect(
      problemOf({ chainPem: ca.issue({ publicKey, notBeforeMs: nowMs + 50_000 }, nowMs), rootsPem }),
    ).toBeUndefined();
  });

  test("under a root of the same name but another key is rejected", () => {
    const impostor = testAuthority("root A", nowMs);
    expect(problemOf({ chainPem: impostor.issue({ publicKey }, nowMs), rootsPem })).toBe("untrusted");
  });

  test("under a root, or by an intermediate, that has expired is rejected", () => {
    const ago = testAuthority("root of old", nowMs - 11 * 365 * 24 * 60 * minuteMs);
    expect(problemOf({ chainPem: ago.issue({ publicKey }, nowMs), rootsPem: ago.rootPem })).toBe("untrusted");
    const between = testAuthority("between", nowMs);
    const betweenPem = ca.issue(
      {
        subject: "between",
        publicKey: publicKeyOf(between.issuer.privateKey),
        use: "authority",
        uris: [],
        notAfterMs: nowMs - 1,
      },
      nowMs,
    );
    expect(problemOf({ chainPem: between.issue({ publicKey }, nowMs) + betweenPem, rootsPem })).toBe("untrusted");
  });

  test("says plainly what is wrong", () => {
    const chainPem = ca.issue({ publicKey, uris: ["spiffe://cluster.local/ns/demo/sa/api"] }, nowMs);
    expect(() => checkResponse({ chainPem, rootsPem }, expected)).toThrow(
      "the certificate names spiffe://cluster.local/ns/demo/sa/api, but the request named spiffe://cluster.local/ns/demo/sa/web",
    );
  });

  test.each([
    ["ca-chain-length", { chainPem: good + ca.rootPem, rootsPem: ca.rootPem }],
    ["ca-roots", { chainPem: good, rootsPem: ca.rootPem + other.rootPem }],
    ["ca-roots", { chainPem: good, rootsPem: ca.rootPem, otherRootsPem: ca.rootPem + other.rootPem }],
  ] as const)("above the limit %s is rejected before it is parsed", (limit, response) => {
    const limited = { ...expected, budgets: testBudgets({ [limit]: 1 }) };
    expect(() => checkResponse(response, limited)).toThrow(`limit ${limit} of 1 items is reached`);
    expect(checkResponse({ chainPem: good, rootsPem: ca.rootPem }, limited).leaf.pem).toBe(good);
  });

  test("with a chain that is too long for a handshake is rejected", () => {
    const { leaf } = checkResponse({ chainPem: good, rootsPem: ca.rootPem }, expected);
    const limited = { ...expected, budgets: testBudgets({ "ca-chain-bytes": leaf.x509.raw.length }) };
    expect(checkResponse({ chainPem: good, rootsPem: ca.rootPem }, limited).leaf.pem).toBe(good);
    expect(() => checkResponse({ chainPem: good + ca.rootPem, rootsPem: ca.rootPem }, limited)).toThrow(
      `certificate chain: limit ca-chain-bytes of ${String(leaf.x509.raw.length)} bytes is reached`,
    );
  });
});
