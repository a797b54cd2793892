// SPDX-License-Identifier: Apache-2.0

/** A service of the mesh, from the control plane's name table. */
export interface NamedService {
  /** Fully qualified, or `*.` and a domain. As it came: in any letter case, with or without a trailing dot. */
  readonly host: string;
  /** As they came; not all of them need be valid addresses. */
  readonly addresses: readonly string[];
  /** The service registry, such as `Kubernetes` or `External`. */
  readonly registry: string;
  /** The host without namespace and domain; empty when there is none. */
  readonly shortName: string;
  readonly namespace: string;
  /** Other hosts of the same service. */
  readonly altHosts: readonly string[];
}

/** All services of the mesh, one entry for each host. */
export type NameTable = readonly NamedService[];
