// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, type KeyObject } from "node:crypto";
import { splitPem } from "../lib/pki/pem.ts";
import { AnswerError, maxSkewMs, type ReadCertificate, readCertificate } from "./answer.ts";
import type { CertDeps } from "./cert-store-face.ts";
import type { IdentityBook, Offer } from "./identity-book.ts";
import type { ProvidedIdentity } from "../model/provided-identity.ts";
import type { IdentityProvider } from "./identity-provider.ts";

/** Takes what a provider hands out, for ever. What is unusable is complained about; the last good one stays in use. */
export async function runProviding(
  provider: IdentityProvider,
  book: IdentityBook,
  deps: CertDeps,
  signal: AbortSignal,
): Promise<void> {
  for await (const provided of provider.watch(signal)) {
    if (signal.aborted) return;
    book.tryBegins();
    try {
      if (provided.kind === "problem") throw provided.error;
      takeIdentity(provided.identity, book, deps);
      deps.metrics.signed("ok", 0);
    } catch (error) {
      deps.metrics.signed("unusable", 0);
      book.failed(error, "the identity provided cannot be used", { source: provider.name });
    }
  }
}

function takeIdentity(identity: ProvidedIdentity, book: IdentityBook, deps: CertDeps): void {
  const offer = checkProvided(identity, deps.clock.now());
  const { chainPem, keyPem } = offer.certificate;
  const newest = book.held.newest?.certificate;
  if (newest?.chainPem === chainPem && newest.keyPem === keyPem) {
    book.held.trust(offer.roots, 0, deps.clock.now());
    book.refresh();
  } else book.accept(offer);
}

/**
 * Checks what is provided as far as its owner may not have: readable, a pair, valid now. Whose roots they are is theirs
 * to say; what they drop is dropped at once.
 * @throws AnswerError
 */
export function checkProvided({ chainPem, keyPem, rootsPem }: ProvidedIdentity, nowMs: number): Offer {
  const { leaf, spiffeId } = checkPair(chainPem, keyPem);
  const { notBeforeMs, notAfterMs } = leaf;
  if (notAfterMs <= nowMs) {
    throw new AnswerError("expired", `the certificate expired at ${new Date(notAfterMs).toISOString()}`);
  }
  if (notBeforeMs > nowMs + maxSkewMs) {
    throw new AnswerError("not-yet-valid", `the certificate begins at ${new Date(notBeforeMs).toISOString()}`);
  }
  const roots = readRoots(rootsPem);
  if (roots.length === 0) throw new AnswerError("malformed", "there is no root certificate that can be read");
  const certificate = { chainPem, keyPem, spiffeId, serial: leaf.x509.serialNumber, notBeforeMs, notAfterMs };
  return { certificate, roots, keepRootsMs: 0, acceptedMs: nowMs };
}

/**
 * Reads a chain's leaf and finds that the key is its own.
 * @returns the leaf, and its SPIFFE ID, or an empty text where it has none
 * @throws AnswerError
 */
export function checkPair(
  chainPem: string,
  keyPem: string,
): { readonly leaf: ReadCertificate; readonly spiffeId: string } {
  const { blocks, problem } = splitPem(chainPem);
  const block = blocks[0];
  if (block === undefined || problem !== undefined) {
    throw new AnswerError("malformed", `the certificate chain: ${problem ?? "there is no certificate in it"}`);
  }
  const leaf = readOrThrow(block.der, block.pem);
  if (!leaf.x509.checkPrivateKey(readPrivateKey(keyPem)))
    throw new AnswerError("wrong-key", "certificate and key do not belong together");
  return { leaf, spiffeId: /(?:^|, )URI:(spiffe:[^,]*)/.exec(leaf.x509.subjectAltName ?? "")?.[1] ?? "" };
}

/**
 * The blocks that are certificates; others, those after a break in the text, and those with a negative serial number,
 * for which Envoy would refuse the whole bundle, are dropped.
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

function readOrThrow(der: Uint8Array, pem: string): ReadCertificate {
  try {
    return readCertificate(der, pem);
  } catch (cause) {
    throw new AnswerError("malformed", "the certificate cannot be read", cause);
  }
}

/** @throws AnswerError without the library's own words, which may quote the key */
export function readPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new AnswerError("malformed", "the private key cannot be read");
  }
}
