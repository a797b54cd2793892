// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { createPublicKey } from "node:crypto";
import forge from "node-forge";
import { describe, expect, test } from "vitest";
import { readRequest } from "../../../src/ca/embedded/certificate-request.ts";
import type { KeyAlgorithm } from "../../../src/cert/types.ts";
import { createKeyAndRequest, renderPrivateKey } from "../../../src/cert/csr.ts";
import { KeyAlgorithmError } from "../../../src/cert/errors.ts";
import { testBudgets } from "../../support/budgets.ts";

const spiffeId = "spiffe://cluster.local/ns/demo/sa/web";
const algorithms: readonly [string, KeyAlgorithm, string][] = [
  ["RSA 2048", { kind: "rsa", bits: 2048 }, "RSA PRIVATE KEY"],
  ["EC P-256", { kind: "ec", curve: "P-256" }, "EC PRIVATE KEY"],
  ["EC P-384", { kind: "ec", curve: "P-384" }, "EC PRIVATE KEY"],
];

function openssl(args: readonly string[], input: string): { readonly code: number | null; readonly text: string } {
  const { status, stdout, stderr } = spawnSync("openssl", args, { input, encoding: "utf8" });
  return { code: status, text: stdout + stderr };
}

describe.each(algorithms)("B1: a request with %s", (_name, algorithm, label) => {
  test("is accepted by openssl, with the shape that strict registration authorities want", async () => {
    const { csrPem } = await createKeyAndRequest(algorithm, spiffeId);
    const { code, text } = openssl(["req", "-verify", "-noout", "-text"], csrPem);
    expect(code, text).toBe(0);
    expect(text).toMatch(/verify OK/i);
    expect(text).toMatch(/Subject: O ?= ?\n/);
    expect(text).toMatch(
      /X509v3 Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/demo\/sa\/web\n/,
    );
    expect(text.match(/X509v3 /g)).toHaveLength(1);
    expect(text).toContain("Version: 1 (0x0)");
  });

  test("has the empty organisation byte for byte, one URI and the signature of its own key", async () => {
    const { csrPem, privateKey } = await createKeyAndRequest(algorithm, spiffeId);
    const request = readRequest(csrPem, testBudgets().of("embedded-ca-csr-bytes"));
    expect(request.uris).toEqual([spiffeId]);
    expect(request.otherNames).toBe(0);
    expect(request.publicKey.equals(createPublicKey(privateKey))).toBe(true);
    const der = Buffer.from(csrPem.replaceAll(/-----.*-----|\s/g, ""), "base64").toString("hex");
    expect(der).toContain("020100300b31093007060355040a1300");
    expect(csrPem.endsWith("-----END CERTIFICATE REQUEST-----\n")).toBe(true);
  });

  test("renders the key under its own label, or as PKCS#8", async () => {
    const { privateKey } = await createKeyAndRequest(algorithm, spiffeId);
    expect(renderPrivateKey(privateKey, false)).toContain(`-----BEGIN ${label}-----`);
    expect(renderPrivateKey(privateKey, true)).toContain("-----BEGIN PRIVATE KEY-----");
    expect(openssl(["pkey", "-noout", "-check"], renderPrivateKey(privateKey, false)).code).toBe(0);
  });
});

test("B1: node-forge reads and verifies the RSA request", async () => {
  const { csrPem } = await createKeyAndRequest({ kind: "rsa", bits: 2048 }, spiffeId);
  const csr = forge.pki.certificationRequestFromPem(csrPem);
  expect(csr.verify()).toBe(true);
  expect(csr.subject.attributes.map((one) => [one.shortName, one.value])).toEqual([["O", ""]]);
});

test.each([
  ["RSA of 1024 bits", { kind: "rsa", bits: 1024 }],
  ["RSA of -1 bits", { kind: "rsa", bits: -1 }],
  ["ED25519", { kind: "ed25519" } as unknown as KeyAlgorithm],
] as const)("B2: %s is an error and no request", async (_name, algorithm) => {
  await expect(createKeyAndRequest(algorithm, spiffeId)).rejects.toBeInstanceOf(KeyAlgorithmError);
});

test("a long identity needs longer DER lengths and is still accepted", async () => {
  const long = `spiffe://${"a".repeat(200)}/ns/${"n".repeat(63)}/sa/${"s".repeat(200)}`;
  const { csrPem } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, long);
  expect(openssl(["req", "-verify", "-noout", "-text"], csrPem).text).toContain(long);
});
