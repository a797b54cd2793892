// SPDX-License-Identifier: Apache-2.0
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { readCertificateFields } from "../../../../src/lib/pki/certificate-fields.ts";
import { DerError, readDerElement, readDerElements, readNumber, readOid } from "../../../../src/lib/pki/der-reader.ts";
import { readPublicKeyFacts } from "../../../../src/lib/pki/public-key.ts";
import {
  authorityExtensions,
  der,
  extensionOf,
  forgeCertificate,
  usage,
  workloadExtensions,
} from "../../../support/forged-certificates.ts";

describe("the fields of a certificate", () => {
  test("are read", () => {
    const root = forgeCertificate({ subject: "root", extensions: authorityExtensions() });
    expect(readCertificateFields(root.der)).toMatchObject({ isSelfIssued: true, isAuthority: true, version: 3 });
    const leaf = forgeCertificate({ issuer: root, extensions: workloadExtensions(extensionOf.unknown(true)) });
    expect(readCertificateFields(leaf.der)).toMatchObject({
      isSelfIssued: false,
      isAuthority: false,
      keyUsage: new Set([0, 2]),
      extendedKeyUsage: [usage.server, usage.client],
      criticalExtensions: ["2.5.29.19", "2.5.29.15", "2.5.29.17", "1.2.3.4.5"],
      signatureAlgorithm: "1.2.840.10045.4.3.2",
      publicKey: { kind: "ec", curve: "P-256" },
    });
  });

  test("of bytes that were changed, cut or nested are read or end in a DerError", () => {
    const { der: good } = forgeCertificate({
      subject: "root",
      extensions: authorityExtensions(extensionOf.nameConstraints(["URI:x.example"]), extensionOf.policyConstraints(0)),
    });
    const variants = Array.from(good, (byte, at) => [
      Buffer.from(good).fill(byte ^ 0xff, at, at + 1),
      Buffer.from(good).fill(byte ^ 0x20, at, at + 1),
      good.subarray(0, at),
    ]).flat();
    for (const bytes of variants) {
      try {
        readCertificateFields(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(DerError);
      }
    }
    let deep: Uint8Array = der(0x05);
    for (let depth = 0; depth < 10_000; depth++) deep = der(0x30, deep.subarray(0, 60_000));
    expect(() => readCertificateFields(deep)).toThrow(DerError);
  });
});

describe("the facts of a public key", () => {
  const factsOf = (type: "ec" | "rsa" | "ed25519", options: object) => {
    const { publicKey } = generateKeyPairSync(type as "rsa", options as { readonly modulusLength: number });
    return readPublicKeyFacts(publicKey.export({ type: "spki", format: "der" }));
  };

  test.each([
    ["ec", { namedCurve: "P-384" }, { kind: "ec", curve: "P-384" }],
    ["ec", { namedCurve: "secp192k1" }, { kind: "ec", curve: "1.3.132.0.31" }],
    ["rsa", { modulusLength: 2048 }, { kind: "rsa", bits: 2048, exponent: 65_537n }],
    ["rsa", { modulusLength: 1030, publicExponent: 3 }, { kind: "rsa", bits: 1030, exponent: 3n }],
    ["ed25519", {}, { kind: "ed25519" }],
  ] as const)("%s %j", (type, options, facts) => {
    expect(factsOf(type, options)).toEqual(facts);
  });

  test("on a curve with explicit parameters are an error, as BoringSSL does not read it", () => {
    const options = { namedCurve: "P-256", paramEncoding: "explicit" };
    expect(() => factsOf("ec", options)).toThrow(DerError);
  });
});

describe("DER", () => {
  test.each([
    ["an endless length", [0x30, 0x80, 0, 0]],
    ["a length that is too long for its value", [0x30, 0x81, 0x05, 0, 0, 0, 0, 0]],
    ["a length past the end", [0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]],
    ["a tag of several bytes", [0x3f, 0x81, 0x01, 0]],
    ["half an element", [0x30]],
  ])("with %s is rejected", (_title, bytes) => {
    expect(() => readDerElements(Uint8Array.from(bytes))).toThrow(DerError);
  });

  test("with more elements than a certificate has is rejected", () => {
    expect(() => readDerElements(Buffer.alloc(20_000, Uint8Array.of(5, 0)))).toThrow("too many elements");
  });

  test("numbers and identifiers", () => {
    expect(readNumber(Uint8Array.of(0, 0xff))).toBe(255);
    expect(readNumber(new Uint8Array(20).fill(0x7f))).toBe(2 ** 31 - 1);
    expect(() => readNumber(Uint8Array.of(0xff))).toThrow(DerError);
    expect(readOid(readDerElement(Uint8Array.of(6, 3, 0x55, 0x1d, 0x25), 6))).toBe("2.5.29.37");
    expect(() => readOid(readDerElement(Uint8Array.of(6, 1, 0x80), 6))).toThrow(DerError);
  });
});
