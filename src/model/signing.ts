// SPDX-License-Identifier: Apache-2.0

/** A request to a CA for a workload certificate. */
export interface SigningRequest {
  readonly csrPem: string;
  /** The one identity that the CSR names. */
  readonly spiffeId: string;
  /** The validity to request; the CA may grant another. */
  readonly ttlMs: number;
  /** The certificate in use, for CAs that renew by it; undefined before the first, and after it has expired. */
  readonly current: { readonly chainPem: string; readonly keyPem: string } | undefined;
}

/** A CA's response, split into its parts and not verified. */
export interface SignedChain {
  /** Leaf first, then intermediates; self-signed roots among them are dropped. */
  readonly chainPem: string;
  /** The roots that the CA returns with it. */
  readonly rootsPem: string;
  /**
   * The CA is who it claims to be: its server certificate was verified, or it is part of this process. Only such a CA
   * may decide the trust domain.
   */
  readonly isAuthenticated?: boolean;
  /** Roots of other CAs to trust as well; the chain itself is not verified against them. */
  readonly otherRootsPem?: string;
}

/**
 * Verifies a CA's response and returns what may be used of it. A signer returns nothing else, so that no unverified
 * response can leave it.
 * @throws when the response cannot be used
 */
export type ResponseCheck<T> = (response: SignedChain) => T;
