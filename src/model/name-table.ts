// SPDX-License-Identifier: Apache-2.0

/** A name that the mesh knows, as the control plane tells it. */
export interface NamedService {
  /** Fully qualified, or `*.` and a domain; as it came, also in its letter case and with or without a trailing dot. */
  readonly host: string;
  /** As they came; not all need be addresses. */
  readonly addresses: readonly string[];
  /** Where the name is from, such as `Kubernetes` or `External`. */
  readonly registry: string;
  /** The first label or labels, without namespace and domain; empty where there is none. */
  readonly shortName: string;
  readonly namespace: string;
  /** Other names of the same service. */
  readonly altHosts: readonly string[];
}

/** All names that the mesh knows, one entry for each host. */
export type NameTable = readonly NamedService[];
