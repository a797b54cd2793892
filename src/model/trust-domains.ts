// SPDX-License-Identifier: Apache-2.0

/** The roots of one trust domain: they verify identities of this domain and of no other. */
export interface DomainRoots {
  /** Without `spiffe://`. */
  readonly trustDomain: string;
  /** As `TrustBundle.rootsPem`. */
  readonly rootsPem: string;
  /** Whether it is a name of the workload's own trust domain. */
  readonly isOwn: boolean;
}

/** Which roots verify which trust domain. */
export interface TrustDomains {
  /** Names of the own trust domain: the configured one, that of the certificate, aliases. Sorted. */
  readonly ownNames: readonly string[];
  /** The roots of the own trust domain. Empty before the first. */
  readonly ownRootsPem: string;
  /** Other trust domains whose workloads are let in, sorted by name. */
  readonly federated: readonly DomainRoots[];
  /** All other trust domains whose roots are known, sorted by name. */
  readonly known: readonly DomainRoots[];
  /** What keeps trust domains from being verified apart, or some from being verified at all; for the log. */
  readonly problems: readonly string[];
}
