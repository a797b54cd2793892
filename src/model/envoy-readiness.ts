// SPDX-License-Identifier: Apache-2.0

export type EnvoyState = "LIVE" | "DRAINING" | "PRE_INITIALIZING" | "INITIALIZING" | "UNKNOWN";

/** Envoy's statistics about its readiness. One that Envoy does not show yet is undefined; a missing counter is 0. */
export interface EnvoyReadiness {
  readonly cdsUpdates: number;
  readonly cdsRejected: number;
  readonly ldsUpdates: number;
  readonly ldsRejected: number;
  readonly state: EnvoyState | undefined;
  readonly workersStarted: boolean | undefined;
  /** Whether Envoy receives clusters (CDS); default true. */
  readonly expectsClusters?: boolean;
  /** Whether Envoy receives listeners (LDS); default true. */
  readonly expectsListeners?: boolean;
  /** Updates that Envoy could not read: of files, those with a wrong syntax. Default 0. */
  readonly cdsFailed?: number;
  readonly ldsFailed?: number;
  /** Why Envoy has accepted no clusters yet, with what to do about it; undefined where that is not known. */
  readonly clustersProblem?: string | undefined;
  /** Why Envoy has accepted no listeners yet. */
  readonly listenersProblem?: string | undefined;
}

/** Envoy's listeners, compared with earlier reads. */
export interface ListenerStatus {
  /** How many accept connections from outside of Envoy. */
  readonly open: number;
  /** Listeners that Envoy still shows and that were open once, but whose port is closed: name and address. */
  readonly closed: readonly string[];
  /** Envoy had listeners besides those of the bootstrap, and the control plane removed all of them. */
  readonly allRemoved: boolean;
}
