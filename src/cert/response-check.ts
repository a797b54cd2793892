// SPDX-License-Identifier: Apache-2.0
import type { KeyObject, X509Certificate } from "node:crypto";
import { formatSpan } from "../lib/relative-time.ts";
import type { Budgets } from "../model/limits.ts";
import type { SignedChain } from "../model/signing.ts";
import { hasTrustDomain, workloadPath } from "../model/spiffe-id.ts";
import { findPath } from "./certification-path.ts";
import { ResponseError } from "./errors.ts";
import { isSelfSigned, type ReadCertificate, readCertificates, readPrivateKey, urisOf } from "./read-certificate.ts";

/** A CA's response that passed every check. */
export interface CheckedResponse {
  readonly leaf: ReadCertificate;
  /**
   * Leaf first, then the certificates of the path to the anchor in order, then others that came with them: peers use the
   * first issuer that they find. Without self-signed certificates.
   */
  readonly chain: readonly ReadCertificate[];
  readonly roots: readonly ReadCertificate[];
  /** The root that the chain leads to. */
  readonly anchor: ReadCertificate;
  /** The identity of the leaf: the requested one, or the same workload's in the trust domain of the CA. */
  readonly spiffeId: string;
}

export interface ResponseExpectation {
  readonly privateKey: KeyObject;
  /** The one URI that the leaf must have; its trust domain may be another one unless `strictTrustDomain` is set. */
  readonly spiffeId: string;
  /** Rejects a certificate of another trust domain than the requested one. `ATTACHE_STRICT_TRUST_DOMAIN` */
  readonly strictTrustDomain: boolean;
  /** Wall clock, milliseconds. */
  readonly nowMs: number;
  /** How far in the future a certificate may begin, because clocks differ. It is not served before it begins. */
  readonly maxSkewMs: number;
  readonly budgets: Budgets;
}

/** How much two clocks may differ: a certificate that begins later than this is rejected, an earlier one is kept. */
export const maxSkewMs = 10 * 60_000;

/**
 * Checks a CA's response: it can be parsed, is for our key and our identity, is valid, and leads to one of the roots
 * that came with it by a path that peers accept. Namespace and service account must be the requested ones. The trust
 * domain is decided by a CA that was authenticated: istiod signs in the mesh's present one, whatever the request names.
 * @throws ResponseError
 */
export function checkResponse(response: SignedChain, expected: ResponseExpectation): CheckedResponse {
  const maxRoots = expected.budgets.of("ca-roots");
  const received = readChain(response.chainPem, expected.budgets);
  const roots = readCertificates(response.rootsPem, "root bundle", maxRoots);
  const otherRoots = readCertificates(response.otherRootsPem ?? "", "root bundle of other CAs", maxRoots);
  const leaf = received[0];
  if (leaf === undefined) throw new ResponseError("malformed", "invalid empty CertChain: it has no certificate");
  if (roots.length === 0) throw new ResponseError("malformed", "it has no root certificate");
  if (!leaf.x509.checkPrivateKey(expected.privateKey)) {
    throw new ResponseError("wrong-key", "the certificate is for another key than the one in the request");
  }
  const spiffeId = checkIdentity(leaf.x509, response, expected);
  checkValidity(leaf, expected);
  const path = findPath(leaf, received.slice(1), roots, { ...expected, search: "any-order" });
  const others = received.filter((one) => !path.includes(one) && !isSelfSigned(one.x509));
  return {
    leaf,
    chain: [...path.slice(0, -1), ...others],
    roots: [...roots, ...otherRoots],
    anchor: path.at(-1) ?? leaf,
    spiffeId,
  };
}

/** Certificates whose first is the key's. */
export interface CheckedPair {
  readonly leaf: ReadCertificate;
  readonly intermediates: readonly ReadCertificate[];
  /** The SPIFFE ID of the leaf; empty when it has none, or not one. */
  readonly spiffeId: string;
}

/**
 * Checks that a chain can be parsed and that the key is its leaf's.
 * @throws ResponseError
 */
export function checkPair(chainPem: string, keyPem: string, budgets: Budgets): CheckedPair {
  const [leaf, ...intermediates] = readChain(chainPem, budgets, "skip-others");
  if (leaf === undefined) throw new ResponseError("malformed", "certificate chain: it has no certificate");
  if (!leaf.x509.checkPrivateKey(readPrivateKey(keyPem))) {
    throw new ResponseError("wrong-key", "certificate and key do not belong together");
  }
  const [uri = "", ...more] = urisOf(leaf.x509);
  return { leaf, intermediates, spiffeId: more.length === 0 && uri.startsWith("spiffe://") ? uri : "" };
}

/**
 * @throws ResponseError also for a chain that no peer would accept in a handshake
 * Source: OpenSSL's and BoringSSL's SSL_MAX_CERT_LIST_DEFAULT
 */
function readChain(
  pem: string,
  budgets: Budgets,
  blocks: "certificates-only" | "skip-others" = "certificates-only",
): readonly ReadCertificate[] {
  const what = "certificate chain";
  const chain = readCertificates(pem, what, budgets.of("ca-chain-length"), blocks);
  const limit = budgets.of("ca-chain-bytes");
  const bytes = chain.reduce((sum, { x509 }) => sum + x509.raw.length, 0);
  if (!limit.admits(bytes)) throw new ResponseError("malformed", `${what}: ${limit.text}`);
  return chain;
}

/** @returns the identity of the leaf */
function checkIdentity(
  leaf: X509Certificate,
  { isAuthenticated = false }: SignedChain,
  { spiffeId, strictTrustDomain }: ResponseExpectation,
): string {
  const uris = urisOf(leaf);
  const [only = ""] = uris.length === 1 ? uris : [];
  const isSameWorkload = only !== "" && workloadPath(only) === workloadPath(spiffeId);
  if (isSameWorkload && only === spiffeId && !only.startsWith("spiffe:///")) return only;
  if (isSameWorkload && hasTrustDomain(only) && isAuthenticated && !strictTrustDomain) return only;
  const found = uris.length === 0 ? "no identity" : uris.join(" and ").slice(0, 500);
  const reason = isSameWorkload ? `; ${trustDomainReason(only, strictTrustDomain)}` : "";
  const text = `the certificate names ${found}, but the request named ${spiffeId}${reason}`;
  throw new ResponseError("wrong-identity", text);
}

function trustDomainReason(received: string, strictTrustDomain: boolean): string {
  if (!hasTrustDomain(received)) return "that is no trust domain; set TRUST_DOMAIN";
  return strictTrustDomain
    ? "set TRUST_DOMAIN to that of the mesh, or ATTACHE_STRICT_TRUST_DOMAIN=false"
    : "only a CA with a verified server certificate may decide the trust domain; use TLS, or set TRUST_DOMAIN";
}

function checkValidity(leaf: ReadCertificate, { nowMs, maxSkewMs }: ResponseExpectation): void {
  const { notBeforeMs, notAfterMs } = leaf;
  const cure = "set the clock that is wrong";
  const clock = `this machine's clock (${new Date(nowMs).toISOString()}) is about`;
  if (notAfterMs <= nowMs) {
    const text = `the CA's new certificate expired ${formatSpan(nowMs - notAfterMs)} ago`;
    // The CA's own time is not known; its certificates begin at it, or shortly before.
    throw new ResponseError(
      "expired",
      `${text}: ${clock} ${formatSpan(nowMs - notBeforeMs)} ahead of the CA's; ${cure}`,
    );
  }
  if (notBeforeMs > nowMs + maxSkewMs) {
    const skew = formatSpan(notBeforeMs - nowMs);
    const text = `the CA's new certificate begins in ${skew}: ${clock} ${skew} behind the CA's; ${cure}`;
    throw new ResponseError("not-yet-valid", text);
  }
}
