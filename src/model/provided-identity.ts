// SPDX-License-Identifier: Apache-2.0

/** The roots of another trust domain, as a SPIFFE agent provides them. */
export interface FederatedRoots {
  /** Without `spiffe://`. */
  readonly trustDomain: string;
  readonly rootsPem: string;
  /** Whether this workload lets its peers in wherever it does with those of its own trust domain. */
  readonly isSelected: boolean;
}

/** Another identity of the same workload. */
export interface OtherIdentity {
  readonly chainPem: string;
  /** Never logged, never in an error. */
  readonly keyPem: string;
}

/** A whole identity, key included, issued and renewed by another process: mounted files, a SPIFFE agent. */
export interface ProvidedIdentity {
  /** Leaf first. Passed on unchanged. */
  readonly chainPem: string;
  /** Never logged, never in an error. */
  readonly keyPem: string;
  readonly rootsPem: string;
  /** Undefined where the provider knows of no other trust domain. */
  readonly federated?: readonly FederatedRoots[] | undefined;
  /** Undefined where the provider has one identity only. */
  readonly others?: readonly OtherIdentity[] | undefined;
}

/** A provider's report: a new identity, or why there is none. */
export type ProvidedIdentityEvent =
  | { readonly kind: "identity"; readonly identity: ProvidedIdentity }
  | { readonly kind: "problem"; readonly error: Error };
