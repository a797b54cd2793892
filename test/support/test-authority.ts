// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readRequest } from "../../src/ca/embedded/certificate-request.ts";
import { type CertificateFacts, type Issuer, issueCertificate, issueRoot } from "../../src/ca/embedded/certificates.ts";
import { testBudgets } from "./budgets.ts";

export const testSpiffeId = "spiffe://cluster.local/ns/demo/sa/web";
const hourMs = 3_600_000;

/** A CA in memory: it issues what the test wants, right or wrong. */
export interface TestAuthority {
  readonly issuer: Issuer;
  readonly rootPem: string;
  issue(facts: Partial<CertificateFacts> & Pick<CertificateFacts, "publicKey">, nowMs: number): string;
  sign(csrPem: string, lifetimeMs: number, nowMs: number): string;
}

export function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

export function publicKeyOf(key: KeyObject | string): KeyObject {
  return createPublicKey(typeof key === "string" ? createPrivateKey(key) : key);
}

export function testAuthority(name: string, nowMs: number): TestAuthority {
  const issuer = { name, privateKey: newKey() };
  const issue: TestAuthority["issue"] = (facts, atMs) =>
    issueCertificate(issuer, {
      subject: undefined,
      use: "workload",
      uris: [testSpiffeId],
      notBeforeMs: atMs - 120_000,
      notAfterMs: atMs + hourMs,
      ...facts,
    });
  return {
    issuer,
    rootPem: issueRoot(issuer, nowMs - hourMs, nowMs + 10 * 365 * 24 * hourMs),
    issue,
    sign: (csrPem, lifetimeMs, atMs) => {
      const { publicKey, uris } = readRequest(csrPem, testBudgets().of("embedded-ca-csr-bytes"));
      return issue({ publicKey, uris, notAfterMs: atMs + lifetimeMs }, atMs);
    },
  };
}
