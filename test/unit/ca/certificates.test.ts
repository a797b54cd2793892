// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type CertificateFacts, issueCertificate, issueRoot } from "../../../src/ca/embedded/certificates.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const nowMs = Date.now();
const yearMs = 365 * 24 * 3_600_000;
const ec = (namedCurve: string): KeyObject => generateKeyPairSync("ec", { namedCurve }).privateKey;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const issuerKeys = { RSA: rsa, "P-256": ec("P-256") };
const workloadKeys = { RSA: rsa, "P-256": ec("P-256"), "P-384": ec("P-384") };

/** The certificate as OpenSSL prints it, once OpenSSL has verified it against the root. */
async function verified(rootPem: string, leafPem: string): Promise<string> {
  await using directory = await temporaryDirectory();
  const [root, leaf] = [join(directory.path, "root.pem"), join(directory.path, "leaf.pem")];
  writeFileSync(root, rootPem);
  writeFileSync(leaf, leafPem);
  const verification = spawnSync("openssl", ["verify", "-x509_strict", "-CAfile", root, leaf], { encoding: "utf8" });
  expect(verification.stderr + verification.stdout).toContain("leaf.pem: OK");
  return spawnSync("openssl", ["x509", "-in", leaf, "-noout", "-text"], { encoding: "utf8" }).stdout;
}

describe.each(["RSA", "P-256"] as const)("a certificate by an issuer with a key of %s", (kind) => {
  const issuer = { name: "test CA ä", privateKey: issuerKeys[kind] };
  const rootPem = issueRoot(issuer, nowMs - 60_000, nowMs + yearMs);
  const issue = (facts: Partial<CertificateFacts> & Pick<CertificateFacts, "publicKey" | "use">): string =>
    issueCertificate(issuer, { subject: undefined, notBeforeMs: nowMs - 60_000, notAfterMs: nowMs + 60_000, ...facts });

  test.each(["RSA", "P-256", "P-384"] as const)("for a workload key of %s is valid for OpenSSL", async (keyKind) => {
    const publicKey = createPublicKey(workloadKeys[keyKind]);
    const leafPem = issue({ publicKey, use: "workload", uris: ["spiffe://td/ns/a/sa/b"] });
    const text = await verified(rootPem, leafPem);
    expect(text).toMatch(/X509v3 Subject Alternative Name: critical\s+URI:spiffe:\/\/td\/ns\/a\/sa\/b\n/);
    expect(text).toMatch(/X509v3 Key Usage: critical\s+Digital Signature, Key Encipherment\n/);
    expect(text).toMatch(/X509v3 Basic Constraints: critical\s+CA:FALSE\n/);
    expect(text).toContain("TLS Web Server Authentication, TLS Web Client Authentication\n");
    const leaf = new X509Certificate(leafPem);
    expect(leaf.publicKey.equals(publicKey)).toBe(true);
    expect(leaf.verify(new X509Certificate(rootPem).publicKey)).toBe(true);
    expect(leaf.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  test("for a server has its names and addresses, and no right to be a client", async () => {
    const names = { dnsNames: ["localhost"], ips: ["127.0.0.1", "::1", "2001:db8::a"] };
    const leafPem = issue({ subject: "server", publicKey: createPublicKey(ec("P-256")), use: "server", ...names });
    const text = await verified(rootPem, leafPem);
    expect(text).toMatch(
      /Alternative Name:\s+DNS:localhost, IP Address:127\.0\.0\.1, IP Address:0:0:0:0:0:0:0:1, IP Address:2001:DB8:0:0:0:0:0:A\n/,
    );
    expect(text).toContain("TLS Web Server Authentication\n");
  });

  test("has the algorithm identifier of its signature in the form of the RFCs", () => {
    const der = new X509Certificate(rootPem).raw.toString("hex");
    // with NULL for RSA, without parameters for ECDSA; once in the signed part and once beside the signature
    const identifier = kind === "RSA" ? "300d06092a864886f70d01010b0500" : "300a06082a8648ce3d040302";
    expect(der.split(identifier)).toHaveLength(3);
  });
});

test("a time from 2050 on is a GeneralizedTime", () => {
  const issuer = { name: "test CA", privateKey: issuerKeys["P-256"] };
  const rootPem = issueRoot(issuer, Date.parse("2049-12-31T23:59:59Z"), Date.parse("2050-01-01T00:00:00Z"));
  const der = new X509Certificate(rootPem).raw.toString("latin1");
  expect(der).toContain("\u0017\r491231235959Z\u0018\u000f20500101000000Z");
});
