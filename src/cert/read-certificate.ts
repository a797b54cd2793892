// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Budget } from "../lib/budget.ts";
import { generalNameTag, readCertificateFields } from "../lib/pki/certificate-fields.ts";
import { splitPem } from "../lib/pki/pem.ts";
import { ResponseError } from "./errors.ts";

/** A parsed certificate and its PEM in normal form. */
export interface ReadCertificate {
  readonly x509: X509Certificate;
  readonly pem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/**
 * Reads every certificate of a text once.
 * @param limit of the number of certificates
 * @param blocks what to do about blocks that are no certificates, such as a key in the same file
 * @throws ResponseError
 */
export function readCertificates(
  pem: string,
  what: string,
  limit: Budget,
  blocks: "certificates-only" | "skip-others" = "certificates-only",
): readonly ReadCertificate[] {
  const { blocks: all, problem } = splitPem(pem);
  if (problem !== undefined) throw new ResponseError("malformed", `${what}: ${problem}`);
  const read = blocks === "skip-others" ? all.filter(({ label }) => label === "CERTIFICATE") : all;
  const distinct = [...new Map(read.map((block) => [block.pem, block])).values()];
  if (!limit.admits(distinct.length)) throw new ResponseError("malformed", `${what}: ${limit.text}`);
  return distinct.map((block, i) => {
    const where = `${what}, block ${String(i + 1)}`;
    if (block.label !== "CERTIFICATE") throw new ResponseError("malformed", `${where} is not a certificate`);
    return readOrThrow(block.der, block.pem, where);
  });
}

function readOrThrow(der: Uint8Array, pem: string, what: string): ReadCertificate {
  try {
    return readCertificate(der, pem);
  } catch (cause) {
    throw new ResponseError("malformed", `${what} cannot be parsed`, cause);
  }
}

/**
 * The readable certificates of a bundle. Skips other blocks, blocks after a break in the text, and certificates with a
 * negative serial number, for which Envoy would reject the whole bundle.
 * @param limit of the number of blocks, unless the text is the configuration's own
 * @throws ResponseError above the limit
 */
export function readRoots(pem: string, limit?: Budget): readonly ReadCertificate[] {
  const { blocks } = splitPem(pem);
  if (limit?.admits(blocks.length) === false) throw new ResponseError("malformed", `root bundle: ${limit.text}`);
  return blocks.flatMap((block) => {
    try {
      if (block.label !== "CERTIFICATE") return [];
      const root = readCertificate(block.der, block.pem);
      return root.x509.serialNumber.startsWith("-") ? [] : [root];
    } catch {
      return [];
    }
  });
}

/**
 * @throws the crypto library's error, or a plain one when the validity is not a time, or the bytes are not the one encoding
 * of a certificate: the library also reads BER, and ignores what comes after the end. Peers do not.
 */
export function readCertificate(der: Uint8Array, pem: string): ReadCertificate {
  const x509 = new X509Certificate(der);
  if (Buffer.compare(x509.raw, der) !== 0) throw new Error("it is not DER, or has bytes after its end");
  const notBeforeMs = Date.parse(x509.validFrom);
  const notAfterMs = Date.parse(x509.validTo);
  if (Number.isNaN(notBeforeMs) || Number.isNaN(notAfterMs)) throw new Error("its validity is not a time");
  return { x509, pem, notBeforeMs, notAfterMs };
}

/** @throws ResponseError without the library's message, which may quote the key */
export function readPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new ResponseError("malformed", "the private key cannot be parsed");
  }
}

/** The URIs among the alternative names. A SPIFFE certificate has exactly one. @throws ResponseError */
export function urisOf(leaf: X509Certificate): readonly string[] {
  try {
    const names = readCertificateFields(leaf.raw).alternativeNames;
    return names
      .filter(({ tag }) => tag === generalNameTag.uri)
      .map(({ value }) => Buffer.from(value).toString("latin1"));
  } catch (cause) {
    throw new ResponseError("malformed", "the certificate cannot be parsed", cause);
  }
}

/** Whether its own key has signed it. */
export function isSelfSigned(one: X509Certificate): boolean {
  return one.checkIssued(one) && one.verify(one.publicKey);
}
