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

/**
 * A new name table, service by service: a whole table as objects would not fit into the heap. Until the commit, queries
 * are answered from the previous table. Disposing it without a commit discards it.
 */
export interface NameTableUpdate extends Disposable {
  /** Copies the service. A later service with the same host replaces an earlier one. */
  add(service: NamedService): void;
  /** The services that were added since the last call are of this resource. */
  endResource(name: string): void;
  /**
   * Resolves when queries are answered from the new table. The change is atomic.
   * @param kept resources whose services the previous table keeps
   */
  commit(kept: ReadonlySet<string>): Promise<void>;
}

/** Starts an update; waits for one that is in progress. */
export type BeginNameTable = (signal: AbortSignal) => Promise<NameTableUpdate>;
