// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { splitPem } from "../lib/pki/pem.ts";
import type { SignedChain } from "../model/signing.ts";
import { ResponseError } from "./errors.ts";

/** A parsed certificate and its PEM in normal form. */
export interface ReadCertificate {
  readonly x509: X509Certificate;
  readonly pem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A CA's response that passed every check. */
export interface CheckedResponse {
  readonly leaf: ReadCertificate;
  /** Leaf first, without self-signed certificates. */
  readonly chain: readonly ReadCertificate[];
  readonly roots: readonly ReadCertificate[];
  /** The root that the chain leads to. */
  readonly anchor: ReadCertificate;
}

export interface ResponseExpectation {
  readonly privateKey: KeyObject;
  /** The one URI that the leaf must have. */
  readonly spiffeId: string;
  /** Wall clock, milliseconds. */
  readonly nowMs: number;
  /** How far in the future a certificate may begin, because clocks differ. It is not served before it begins. */
  readonly maxSkewMs: number;
}

/** How much two clocks may differ: a certificate that begins later than this is rejected, an earlier one is kept. */
export const maxSkewMs = 10 * 60_000;

/** No real chain is longer; the limit ends a loop of issuers. */
const maxChainLength = 10;

/**
 * Checks a CA's response: it can be parsed, is for our key and our identity, is valid, and leads to one of the roots
 * that came with it.
 * @throws ResponseError
 */
export function checkResponse(response: SignedChain, expected: ResponseExpectation): CheckedResponse {
  const received = readCertificates(response.chainPem, "certificate chain");
  const roots = readCertificates(response.rootsPem, "root bundle");
  const otherRoots = readCertificates(response.otherRootsPem ?? "", "root bundle of other CAs");
  const leaf = received[0];
  if (leaf === undefined) throw new ResponseError("malformed", "invalid empty CertChain: it has no certificate");
  if (roots.length === 0) throw new ResponseError("malformed", "it has no root certificate");
  if (!leaf.x509.checkPrivateKey(expected.privateKey)) {
    throw new ResponseError("wrong-key", "the certificate is for another key than the one in the request");
  }
  checkIdentity(leaf.x509, expected.spiffeId);
  checkValidity(leaf, expected);
  const anchor = findAnchor(leaf, received.slice(1), roots, expected);
  const chain = received.filter((one) => one === leaf || !isSelfSigned(one.x509));
  return { leaf, chain, roots: [...roots, ...otherRoots], anchor };
}

/**
 * Checks that a chain can be parsed and that the key is its leaf's.
 * @returns the leaf, and its SPIFFE ID or an empty text
 * @throws ResponseError
 */
export function checkPair(
  chainPem: string,
  keyPem: string,
): { readonly leaf: ReadCertificate; readonly spiffeId: string } {
  const { blocks, problem } = splitPem(chainPem);
  const block = blocks[0];
  if (block === undefined || problem !== undefined) {
    throw new ResponseError("malformed", `certificate chain: ${problem ?? "it has no certificate"}`);
  }
  const leaf = readOrThrow(block.der, block.pem, "the certificate");
  if (!leaf.x509.checkPrivateKey(readPrivateKey(keyPem))) {
    throw new ResponseError("wrong-key", "certificate and key do not belong together");
  }
  return { leaf, spiffeId: /(?:^|, )URI:(spiffe:[^,]*)/.exec(leaf.x509.subjectAltName ?? "")?.[1] ?? "" };
}

/** @throws ResponseError without the library's message, which may quote the key */
export function readPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new ResponseError("malformed", "the private key cannot be parsed");
  }
}

/**
 * The readable certificates of a bundle. Skips other blocks, blocks after a break in the text, and certificates with a
 * negative serial number, for which Envoy would reject the whole bundle.
 */
export function readRoots(pem: string): readonly ReadCertificate[] {
  return splitPem(pem).blocks.flatMap((block) => {
    try {
      if (block.label !== "CERTIFICATE") return [];
      const root = readCertificate(block.der, block.pem);
      return root.x509.serialNumber.startsWith("-") ? [] : [root];
    } catch {
      return [];
    }
  });
}

/** @throws the crypto library's error, or a plain one when the validity is not a time */
export function readCertificate(der: Uint8Array, pem: string): ReadCertificate {
  const x509 = new X509Certificate(der);
  const notBeforeMs = Date.parse(x509.validFrom);
  const notAfterMs = Date.parse(x509.validTo);
  if (Number.isNaN(notBeforeMs) || Number.isNaN(notAfterMs)) throw new Error("its validity is not a time");
  return { x509, pem, notBeforeMs, notAfterMs };
}

function readCertificates(pem: string, what: string): readonly ReadCertificate[] {
  const { blocks, problem } = splitPem(pem);
  if (problem !== undefined) throw new ResponseError("malformed", `${what}: ${problem}`);
  return blocks.map((block, i) => {
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

function checkIdentity(leaf: X509Certificate, spiffeId: string): void {
  const uris = (leaf.subjectAltName ?? "").split(", ").filter((name) => name.startsWith("URI:"));
  if (uris.length === 1 && uris[0] === `URI:${spiffeId}`) return;
  const found = uris.length === 0 ? "no identity" : uris.map((uri) => uri.slice(4)).join(" and ");
  throw new ResponseError("wrong-identity", `the certificate names ${found}, but the request named ${spiffeId}`);
}

function checkValidity(leaf: ReadCertificate, { nowMs, maxSkewMs }: ResponseExpectation): void {
  const seconds = (ms: number): string => `${String(Math.ceil(ms / 1_000))} s`;
  if (leaf.notAfterMs <= nowMs) {
    const text = `the certificate expired ${seconds(nowMs - leaf.notAfterMs)} ago`;
    throw new ResponseError("expired", `${text}; compare this machine's clock with the CA's`);
  }
  if (leaf.notBeforeMs > nowMs + maxSkewMs) {
    const text = `the certificate begins in ${seconds(leaf.notBeforeMs - nowMs)}`;
    throw new ResponseError("not-yet-valid", `${text}; compare this machine's clock with the CA's`);
  }
}

/** Follows the issuers from the leaf through the intermediates to a root of the bundle. */
function findAnchor(
  leaf: ReadCertificate,
  intermediates: readonly ReadCertificate[],
  roots: readonly ReadCertificate[],
  { nowMs, maxSkewMs }: ResponseExpectation,
): ReadCertificate {
  const isValid = (one: ReadCertificate): boolean => one.notAfterMs > nowMs && one.notBeforeMs <= nowMs + maxSkewMs;
  let current = leaf;
  for (let length = 0; length < maxChainLength; length++) {
    const last = current;
    const anchor = roots.find((root) => isValid(root) && issued(root.x509, last.x509));
    if (anchor !== undefined) return anchor;
    const next = intermediates.find((one) => one !== last && isValid(one) && issued(one.x509, last.x509));
    if (next === undefined) break;
    current = next;
  }
  const issuer = JSON.stringify(current.x509.issuer.replaceAll("\n", ", "));
  const text = `the chain does not lead to any of the given roots; no valid certificate of the issuer ${issuer} came with it`;
  throw new ResponseError("untrusted", text);
}

function issued(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function isSelfSigned(one: X509Certificate): boolean {
  return one.checkIssued(one) && one.verify(one.publicKey);
}
