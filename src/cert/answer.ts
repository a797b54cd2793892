// SPDX-License-Identifier: Apache-2.0
import { type KeyObject, X509Certificate } from "node:crypto";
import { AgentError } from "../lib/errors.ts";
import { splitPem } from "../lib/pki/pem.ts";
import type { SignedChain } from "../model/signing.ts";

/** What a CA's answer was found to be, when it cannot be used. */
export type AnswerProblem = "malformed" | "wrong-key" | "wrong-identity" | "expired" | "not-yet-valid" | "untrusted";

/** What was received is not an identity that this workload can use. Nothing of it reaches Envoy. */
export class AnswerError extends AgentError {
  readonly code = "AGENT_CA_ANSWER";
  readonly problem: AnswerProblem;
  /** The kind of failure, for metrics. */
  readonly failure: AnswerProblem;
  constructor(problem: AnswerProblem, text: string, cause?: unknown) {
    super(`check the identity received: ${text}`, { cause });
    this.problem = problem;
    this.failure = problem;
  }
}

/** A certificate read and its text in normal form. */
export interface ReadCertificate {
  readonly x509: X509Certificate;
  readonly pem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A CA's answer that was found good. */
export interface CheckedAnswer {
  readonly leaf: ReadCertificate;
  /** Leaf first, without self-signed certificates. */
  readonly chain: readonly ReadCertificate[];
  readonly roots: readonly ReadCertificate[];
  /** The root that the leaf was found to lead to. */
  readonly anchor: ReadCertificate;
}

export interface AnswerExpectation {
  readonly privateKey: KeyObject;
  /** The one URI that the leaf must name. */
  readonly spiffeId: string;
  /** Wall clock, milliseconds. */
  readonly nowMs: number;
  /** How far in the future a certificate may begin: what two clocks may differ by. It is not used before it begins. */
  readonly maxSkewMs: number;
}

/** What two clocks may differ by before a certificate that begins later is refused rather than held. */
export const maxSkewMs = 10 * 60_000;

/** No real chain is longer; a loop of issuers ends here. */
const longestChain = 10;

/**
 * Checks a CA's answer before any of it is used: readable, for our key, for our identity, valid, and leading to one of
 * the roots that came with it.
 * @throws AnswerError
 */
export function checkAnswer(answer: SignedChain, expected: AnswerExpectation): CheckedAnswer {
  const given = readCertificates(answer.chainPem, "certificate chain");
  const roots = readCertificates(answer.rootsPem, "root bundle");
  const others = readCertificates(answer.otherRootsPem ?? "", "other roots");
  const leaf = given[0];
  if (leaf === undefined) throw new AnswerError("malformed", "invalid empty CertChain: there is no certificate in it");
  if (roots.length === 0) throw new AnswerError("malformed", "there is no root certificate in it");
  if (!leaf.x509.checkPrivateKey(expected.privateKey)) {
    throw new AnswerError("wrong-key", "the certificate is for another key than the one in the request");
  }
  checkIdentity(leaf.x509, expected.spiffeId);
  checkValidity(leaf, expected);
  const anchor = findAnchor(leaf, given.slice(1), roots, expected);
  return {
    leaf,
    chain: given.filter((one) => one === leaf || !isSelfSigned(one.x509)),
    roots: [...roots, ...others],
    anchor,
  };
}

function readCertificates(pem: string, what: string): readonly ReadCertificate[] {
  const { blocks, problem } = splitPem(pem);
  if (problem !== undefined) throw new AnswerError("malformed", `${what}: ${problem}`);
  return blocks.map((block, i) => {
    const where = `${what}, block ${String(i + 1)}`;
    if (block.label !== "CERTIFICATE") throw new AnswerError("malformed", `${where} is not a certificate`);
    try {
      return readCertificate(block.der, block.pem);
    } catch (error) {
      throw new AnswerError("malformed", `${where} cannot be read`, error);
    }
  });
}

/** @throws the crypto library's error, or a plain one when the validity cannot be read */
export function readCertificate(der: Uint8Array, pem: string): ReadCertificate {
  const x509 = new X509Certificate(der);
  const notBeforeMs = Date.parse(x509.validFrom);
  const notAfterMs = Date.parse(x509.validTo);
  if (Number.isNaN(notBeforeMs) || Number.isNaN(notAfterMs)) throw new Error("its validity is not a time");
  return { x509, pem, notBeforeMs, notAfterMs };
}

function checkIdentity(leaf: X509Certificate, spiffeId: string): void {
  const uris = (leaf.subjectAltName ?? "").split(", ").filter((name) => name.startsWith("URI:"));
  if (uris.length === 1 && uris[0] === `URI:${spiffeId}`) return;
  const found = uris.length === 0 ? "no identity" : uris.map((uri) => uri.slice(4)).join(" and ");
  throw new AnswerError("wrong-identity", `the certificate names ${found}, but ${spiffeId} was asked for`);
}

function checkValidity(leaf: ReadCertificate, { nowMs, maxSkewMs }: AnswerExpectation): void {
  const seconds = (ms: number): string => `${String(Math.ceil(ms / 1_000))} s`;
  if (leaf.notAfterMs <= nowMs) {
    const ago = seconds(nowMs - leaf.notAfterMs);
    throw new AnswerError("expired", `the certificate expired ${ago} ago; compare this machine's clock with the CA's`);
  }
  if (leaf.notBeforeMs > nowMs + maxSkewMs) {
    const ahead = seconds(leaf.notBeforeMs - nowMs);
    throw new AnswerError(
      "not-yet-valid",
      `the certificate begins in ${ahead}; compare this machine's clock with the CA's`,
    );
  }
}

/** Walks from the leaf through the intermediates to a root of the bundle. */
function findAnchor(
  leaf: ReadCertificate,
  intermediates: readonly ReadCertificate[],
  roots: readonly ReadCertificate[],
  { nowMs, maxSkewMs }: AnswerExpectation,
): ReadCertificate {
  const inForce = (one: ReadCertificate): boolean => one.notAfterMs > nowMs && one.notBeforeMs <= nowMs + maxSkewMs;
  let current = leaf;
  for (let length = 0; length < longestChain; length++) {
    const last = current;
    const anchor = roots.find((root) => inForce(root) && issued(root.x509, last.x509));
    if (anchor !== undefined) return anchor;
    const next = intermediates.find((one) => one !== last && inForce(one) && issued(one.x509, last.x509));
    if (next === undefined) break;
    current = next;
  }
  const issuer = current.x509.issuer.replaceAll("\n", ", ");
  throw new AnswerError(
    "untrusted",
    `the chain does not lead to any of the given roots; nothing valid issued by ${JSON.stringify(issuer)} is there`,
  );
}

function issued(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function isSelfSigned(one: X509Certificate): boolean {
  return one.checkIssued(one) && one.verify(one.publicKey);
}
