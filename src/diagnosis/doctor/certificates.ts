// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { splitPem } from "../../lib/pki/pem.ts";
import { formatSpan } from "../../lib/relative-time.ts";

/** The certificates of a text, and what is wrong with it. */
export interface CertificateText {
  readonly certificates: readonly X509Certificate[];
  /** Undefined if everything in it can be read. */
  readonly problem: string | undefined;
}

export function parseCertificates(pem: string): CertificateText {
  const { blocks, problem } = splitPem(pem);
  const certificates: X509Certificate[] = [];
  const problems = problem === undefined ? [] : [problem];
  for (const [index, { label, der }] of blocks.entries()) {
    if (label !== "CERTIFICATE") continue;
    try {
      certificates.push(new X509Certificate(der));
    } catch {
      problems.push(`PEM block ${String(index + 1)} is not a certificate that can be parsed`);
    }
  }
  return { certificates, problem: problems[0] };
}

/** Subject, or alternative names where it is empty; in quotes. */
export function nameOf({ subject, subjectAltName }: X509Certificate): string {
  return quoted(subject) ?? quoted(subjectAltName) ?? "no name";
}

export function issuerOf({ issuer }: X509Certificate): string {
  return quoted(issuer) ?? "no name";
}

/** The parts of a name come on lines of their own. @param name undefined where it is empty, whatever the library's types say */
function quoted(name: string | undefined): string | undefined {
  return name === undefined || name === "" ? undefined : JSON.stringify(name.replaceAll("\n", ", ").slice(0, 200));
}

/** `expired 3 min ago`, `begins in 4 min`, `expires in 12 days`. */
export function validityText(one: X509Certificate, nowMs: number): string {
  const [notBeforeMs, notAfterMs] = validityOf(one);
  if (notAfterMs <= nowMs) return `expired ${formatSpan(nowMs - notAfterMs)} ago`;
  if (notBeforeMs > nowMs) return `begins in ${formatSpan(notBeforeMs - nowMs)}`;
  return `expires in ${formatSpan(notAfterMs - nowMs)}`;
}

export function validityOf(one: X509Certificate): readonly [notBeforeMs: number, notAfterMs: number] {
  return [Date.parse(one.validFrom), Date.parse(one.validTo)];
}

export function isExpired(one: X509Certificate, nowMs: number): boolean {
  return validityOf(one)[1] <= nowMs;
}

/** Whether the first certificate leads to a root by way of the others. Names and signatures only. */
export function leadsTo(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): boolean {
  const [leaf, ...others] = chain;
  if (leaf === undefined) return false;
  const isIssuer = (issuer: X509Certificate, one: X509Certificate): boolean =>
    one.checkIssued(issuer) && one.verify(issuer.publicKey);
  let current = leaf;
  for (let depth = 0; depth <= others.length; depth++) {
    const one = current;
    if (roots.some((root) => root.fingerprint256 === one.fingerprint256 || isIssuer(root, one))) return true;
    const next = others.find((other) => isIssuer(other, one));
    if (next === undefined || next === one) return false;
    current = next;
  }
  return false;
}
