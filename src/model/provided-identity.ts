// SPDX-License-Identifier: Apache-2.0

/** A whole identity, key included, issued and renewed by another process: mounted files, a SPIFFE agent. */
export interface ProvidedIdentity {
  /** Leaf first. Passed on unchanged. */
  readonly chainPem: string;
  /** Never logged, never in an error. */
  readonly keyPem: string;
  readonly rootsPem: string;
}

/** A provider's report: a new identity, or why there is none. */
export type ProvidedIdentityEvent =
  | { readonly kind: "identity"; readonly identity: ProvidedIdentity }
  | { readonly kind: "problem"; readonly error: Error };
