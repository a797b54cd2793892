// SPDX-License-Identifier: Apache-2.0

/** Who hands out whole identities, key and all, and renews them by itself: mounted files, a SPIFFE agent. */
export interface IdentityProvider {
  /** What stands in the status and in logs. */
  readonly name: string;
  /** Yields each identity as it comes, and each complaint; the last good identity stays in use meanwhile. */
  watch(signal: AbortSignal): AsyncIterable<Provided>;
}

export type Provided =
  | { readonly kind: "identity"; readonly identity: ProvidedIdentity }
  | { readonly kind: "problem"; readonly error: Error };

export interface ProvidedIdentity {
  /** Leaf first. Handed on as it is. */
  readonly chainPem: string;
  readonly keyPem: string;
  readonly rootsPem: string;
}
