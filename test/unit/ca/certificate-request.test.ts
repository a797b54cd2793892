// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type CertificateRequest, CsrError, readRequest } from "../../../src/ca/embedded/certificate-request.ts";
import { issueCertificate } from "../../../src/ca/embedded/certificates.ts";
import { formatPem } from "../../../src/lib/pki/pem.ts";
import {
  der,
  extensionOf,
  forgeRequest,
  newEcKey,
  newEd25519Key,
  newRsaKey,
  newRsaKeyOfExponentOne,
  signatures,
  spiffeUri,
} from "../../support/forged-certificates.ts";
import { testSpiffeId } from "../../support/test-authority.ts";
import { testBudgets } from "../../support/budgets.ts";
import { processorTime } from "../../support/processor-time.ts";

const rsaWithExponent = (publicExponent: number): KeyObject =>
  generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent }).privateKey;
const explicitCurve = (): KeyObject =>
  generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" }).privateKey;

const read = (pem: string): CertificateRequest => readRequest(pem, testBudgets().of("embedded-ca-csr-bytes"));

describe("a signing request", () => {
  test.each([
    ["RSA 2048", newRsaKey(2048)],
    ["RSA 3072", newRsaKey(3072)],
    ["P-256", newEcKey("P-256")],
    ["P-384", newEcKey("P-384")],
    ["Ed25519", newEd25519Key()],
  ])("with a key of %s is read, and its certificate can be issued", (_name, key) => {
    const { publicKey, uris, otherNames } = read(forgeRequest({ key }));
    expect({ uris, otherNames }).toEqual({ uris: [testSpiffeId], otherNames: 0 });
    const issuer = { name: "test", privateKey: newEcKey() };
    const facts = { subject: undefined, publicKey, use: "workload", notBeforeMs: 0, notAfterMs: 1 } as const;
    expect(issueCertificate(issuer, facts)).toContain("BEGIN CERTIFICATE");
  });

  test.each([
    ["RSA 512", newRsaKey(512)],
    ["RSA 1024", newRsaKey(1024)],
    ["RSA 2047", newRsaKey(2047)],
    ["RSA with exponent 1", newRsaKeyOfExponentOne()],
    ["RSA with exponent 3", rsaWithExponent(3)],
    ["P-192", newEcKey("prime192v1")],
    ["P-224", newEcKey("P-224")],
    ["P-521", newEcKey("P-521")],
    ["secp256k1", newEcKey("secp256k1")],
    ["brainpoolP256r1", newEcKey("brainpoolP256r1")],
    ["P-256 with explicit parameters", explicitCurve()],
    ["Ed448", generateKeyPairSync("ed448").privateKey],
  ])("with a key of %s is rejected", (_name, key) => {
    const signature = key.asymmetricKeyType === "ed448" ? { oid: "1.3.101.112", hash: null } : undefined;
    expect(() => read(forgeRequest({ key, ...(signature && { signature }) }))).toThrow(CsrError);
  });

  const key = newEcKey();
  const name = extensionOf.alternativeNames(spiffeUri);
  test.each([
    ["an unknown critical extension", [name, extensionOf.unknown(true)], /unknown critical extension 1\.2\.3\.4\.5/],
    ["an authority's constraints", [name, extensionOf.basicConstraints(true)], /the certificate of an authority/],
    ["an extension twice", [name, name], CsrError],
  ])("with %s is rejected", (_title, extensions, problem) => {
    expect(() => read(forgeRequest({ key, extensions }))).toThrow(problem);
  });

  test("may have extensions that are unknown and not critical", () => {
    const extensions = [name, extensionOf.unknown(false), extensionOf.basicConstraints(false)];
    expect(read(forgeRequest({ key, extensions })).uris).toEqual([testSpiffeId]);
  });

  test("signed with SHA-1, or by another key, is rejected", () => {
    expect(() => read(forgeRequest({ key, signature: signatures.ecdsaSha1 }))).toThrow(/algorithm/);
    const spki = createPublicKey(newEcKey()).export({ type: "spki", format: "der" });
    expect(() => read(forgeRequest({ key, spki }))).toThrow(/not by the key that it names/);
  });

  test("that is deep, wide or large costs no time", () => {
    let deep: Uint8Array = der(0x05);
    for (let depth = 0; depth < 4_000; depth++) deep = der(0x30, deep);
    const wide = der(0x30, Buffer.alloc(12_000, Uint8Array.of(5, 0)));
    const elapsedMs = processorTime();
    for (const bytes of [deep, wide, Buffer.alloc(3_000_000, 0x30)]) {
      expect(() => read(formatPem("CERTIFICATE REQUEST", bytes))).toThrow(CsrError);
    }
    expect(() => read("A".repeat(4_000_000))).toThrow(/limit embedded-ca-csr-bytes of 16384 bytes/);
    expect(elapsedMs()).toBeLessThan(1_000);
  });
});
